# What everybody types; `just` lists it.

_default:
    @just --list --unsorted

# Trains on the names that charloom brings along
train *flags:
    cargo run --release -- train {{flags}}

# All tests, or those of a crate: just test -p charloom --lib feed
test *what="--workspace":
    cargo test {{what}}

# Formats, and lints as CI does
check:
    cargo fmt --all
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# Everything that a change must pass
ci:
    .ci/run

# The command as packages have it
dist:
    cargo build --profile dist --features full

# Archive and Debian package, in target/packages
package:
    .ci/package

# A training step, timed
bench *flags:
    cargo run --release -- bench {{flags}}

# The library's pages
doc:
    cargo doc --workspace --all-features --no-deps --open
