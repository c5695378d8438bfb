//! The links between the Markdown files of this repository: each leads to a file, or to a heading, that is there.

use std::fs;
use std::path::Path;

/// What is wrong with the links of the Markdown file at `path`, relative to the root.
pub(crate) fn violations_of(root: &Path, path: &Path, text: &str) -> Vec<String> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let is_broken = |target: &&str| {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() { path.to_owned() } else { directory.join(file) };
        let file = root.join(file);
        !file.exists() || (!heading.is_empty() && !has_heading(&file, heading))
    };
    let targets = targets(text).into_iter().filter(|target| !is_elsewhere(target));
    targets.filter(is_broken).map(|target| format!("links to `{target}`, which is not there")).collect()
}

fn is_elsewhere(target: &str) -> bool {
    ["https:", "http:", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

/// Where links and images lead to; what stands in code is none.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        for code_or_not in line.split('`').step_by(2) {
            for (before, end) in [("](", ')'), (" src=\"", '"')] {
                let rests = code_or_not.split(before).skip(1);
                found.extend(rests.filter_map(|rest| Some(rest.split_once(end)?.0)));
            }
        }
    }
    found
}

/// The lines that are not of a fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn has_heading(file: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    prose(&text).any(|line| line.starts_with('#') && anchor_of(line) == anchor)
}

/// What a heading is called in links, as GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
    heading.chars().filter(kept).map(|character| if character == ' ' { '-' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(text: &str) -> usize {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        violations_of(root, Path::new("docs/links.md"), text).len()
    }

    #[test]
    fn a_link_leads_to_a_file() {
        assert_eq!(violations("See [this](../xtask/src/links.rs) and [that](../README.md)."), 0);
        assert_eq!(violations("See [this](../README.md) and [that](nothing.md)."), 1);
        assert_eq!(violations("[`code`](nothing.md), [again](../nothing)"), 2);
        assert_eq!(violations("<img alt=\"A picture.\" src=\"images/nothing.png\">"), 1);
        assert_eq!(violations("<img alt=\"A picture.\" src=\"images/demo.png\">"), 0);
    }

    #[test]
    fn a_link_leads_to_a_heading() {
        assert_eq!(violations("[here](../CONTRIBUTING.md#what-a-change-brings-with-it)"), 0);
        assert_eq!(violations("[here](../CONTRIBUTING.md#nothing-of-the-kind)"), 1);
        assert_eq!(anchor_of("## \"Where am I?\", http & `https`"), "where-am-i-http--https");
    }

    #[test]
    fn what_is_elsewhere_or_code_is_left_alone() {
        assert_eq!(violations("[crate](https://docs.rs/nothing) [mail](mailto:nobody@example.org)"), 0);
        assert_eq!(violations("`a[0](nothing)`\n\n```rust\nlist[0](nothing);\n```\n"), 0);
        assert_eq!(violations("```\n[in](nothing)\n```\n[out](nothing)"), 1);
    }
}
