//! For the fuzz targets alone (`chaos-tests/fuzz`): what stands between a wire or a file and a decoder, and is otherwise private.
//! Nothing else uses this module; it costs nothing that runs.

pub use crate::{bundle::sealed, quic::assembled};
