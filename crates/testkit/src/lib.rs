//! What the other crates' tests share: comparison that NaN never passes, gradient checks, fixtures.
#![forbid(unsafe_code)]

mod close;
mod files;
mod gradient;
mod ops;

pub use close::{assert_close, closeness};
pub use files::{corpus, fixture, fixture_path, shared_data, workspace_root};
pub use gradient::{GradCheck, gradcheck};
pub use ops::{Golden, OpCase, op_cases};
