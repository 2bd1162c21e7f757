"""A profile, executed and told on one page.

driver       check everything, execute the notebooks, gather, write the report
profiles     a profile's parameters, from params/*.yaml
notebooks    a notebook's parameters, and its execution
show, drawn  what a notebook shows, it also files; the numbers that a figure shows
gather       from stored runs to the report's files
told         what the page tells of judged claims
page         from executed notebooks to one HTML file
"""
