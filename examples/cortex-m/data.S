// The model's files as they lie in flash; the names are those of main.c.
    .macro file name, path
    .global \name
    .global \name\()_end
    .balign 64
\name:
    .incbin "\path"
\name\()_end:
    .byte 0
    .endm

    .section .rodata.model, "a"
    file model_config, "config.json"
    file model_weights, "model.safetensors"
    file model_tokenizer, "tokenizer.json"
    file model_tokenizer_config, "tokenizer_config.json"
    .section .note.GNU-stack, "", %progbits
