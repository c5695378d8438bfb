//! The guides' code is this crate's code.

const SIGNING_IN: &str = include_str!("../../../docs/signing-in.md");
const TESTING: &str = include_str!("../../../docs/testing.md");

const SOURCES: &[&str] = &[
    include_str!("../Cargo.toml"),
    include_str!("../src/accounts.rs"),
    include_str!("../src/guard.rs"),
    include_str!("../src/handlers.rs"),
    include_str!("../src/lib.rs"),
    include_str!("../src/main.rs"),
    include_str!("actix.rs"),
    include_str!("web/browser.rs"),
    include_str!("web/limits.rs"),
    include_str!("web/outage.rs"),
    include_str!("web/password.rs"),
    include_str!("web/signing_in.rs"),
    include_str!("web/site.rs"),
];

#[test]
fn every_block_of_the_guides_stands_in_this_crate() {
    for guide in [SIGNING_IN, TESTING] {
        let blocks: Vec<_> = guide
            .split("```")
            .skip(1)
            .step_by(2)
            .filter_map(|block| block.strip_prefix("rust\n").or_else(|| block.strip_prefix("toml\n")))
            .collect();
        assert!(blocks.len() >= 10, "a guide has lost its code");
        for block in blocks {
            assert!(SOURCES.iter().any(|source| source.contains(block)), "a guide says otherwise:\n{block}");
        }
    }
}
