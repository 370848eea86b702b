//! Empty: this package has the benches in `benches/`; the comparison with peers is the package `compare`.
#![forbid(unsafe_code)]
