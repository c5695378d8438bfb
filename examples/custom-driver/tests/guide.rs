//! The guide's code is this driver's code.

#[test]
fn every_block_of_the_guide_stands_in_this_crate() {
    let guide = include_str!("../../../docs/writing-a-driver.md");
    let crate_text =
        [include_str!("../src/lib.rs"), include_str!("conformance.rs"), include_str!("../Cargo.toml")]
            .concat();
    let blocks: Vec<_> = guide
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix("rust\n").or_else(|| block.strip_prefix("toml\n")))
        .collect();
    assert!(blocks.len() >= 8, "the guide has lost its code");
    for block in blocks {
        assert!(crate_text.contains(block), "the guide says otherwise:\n{block}");
    }
}
