"""A profile, executed and told on one page.

driver       check everything, execute the notebooks, gather, write the report
profiles     a profile's parameters, from params/*.yaml
notebooks    a notebook's parameters, and its execution
show         what a notebook shows, it also files
page         from executed notebooks to one HTML file
"""
