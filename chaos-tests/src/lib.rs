//! Kho under faults: real processes, invariants.
