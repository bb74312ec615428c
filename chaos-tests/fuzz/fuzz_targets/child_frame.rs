#![no_main]
kho_fuzz::fuzz!(child_frame);
