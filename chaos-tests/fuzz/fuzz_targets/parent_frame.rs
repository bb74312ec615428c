#![no_main]
kho_fuzz::fuzz!(parent_frame);
