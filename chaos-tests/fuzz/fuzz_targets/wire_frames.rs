#![no_main]
kho_fuzz::fuzz!(wire_frames);
