#![no_main]
kho_fuzz::fuzz!(compressed_segment);
