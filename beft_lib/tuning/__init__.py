"""What is trained, and how.

methods            what can be tuned: a table of records, without torch
head               the head that trains beside a bias
prepare            make a model train what a method says
peft_methods       LoRA and prefix tuning
random_scalars     as many scalars as b_v has, anywhere in the encoder (the paper's rand uniform)
batches            texts as batches of token ids
prompt_tokens      prompts and their options as token ids
encoder_pass       the forward pass of BERT's family, written out
loop               the training loop, and prediction
option_scores      a decoder's scores of options, and its answers
"""
