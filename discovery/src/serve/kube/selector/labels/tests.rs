use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    LabelSelector::parse(selector)
        .unwrap()
        .matches(|name| labels.get(name).copied())
}

#[test]
fn every_operator_is_understood() {
    let labels = [
        ("app", "hello"),
        ("tier", "b"),
        ("count", "5"),
        ("empty", ""),
    ];
    for yes in [
        "",
        "app",
        "app=hello",
        "app==hello",
        "app!=x",
        "none!=x",
        "!none",
        "tier in (a, b)",
        "tier notin (a)",
        "none notin (a)",
        "count>4",
        "count < 6",
        "empty=",
        "empty in (,a)",
        "app = hello , tier in(b),!old",
        "app!=",
        "in",
        "in notin (in)",
    ] {
        let labels = [&labels[..], &[("in", "x")][..]].concat();
        assert!(matches(yes, &labels), "{yes}");
    }
    for no in [
        "none",
        "app=x",
        "!app",
        "tier in (a)",
        "tier notin (a,b)",
        "count>5",
        "none>1",
        "app,none",
        "app=hello,tier=a",
    ] {
        assert!(!matches(no, &labels), "{no}");
    }
}

#[test]
fn what_is_no_selector_is_refused_in_the_words_of_kubernetes() {
    for (text, why) in [
        (
            "a in",
            "unable to parse requirement: found '' expected: '('",
        ),
        (
            "a===b",
            "unable to parse requirement: found '=', expected: identifier",
        ),
        ("a=b,", "found '', expected: identifier after ','"),
        (
            "=b",
            "unable to parse requirement: found '=', expected: identifier",
        ),
        (
            "a=b c",
            "unable to parse requirement: found 'c', expected: ',' or 'end of string'",
        ),
        (
            "a in (b",
            "unable to parse requirement: found '', expected: ',' or ')'",
        ),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap_err().message(), why);
    }
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let set = prop::collection::vec("[a-c]{1,2}", 1..3);
    let rule = prop_oneof![
        Just(Rule::Exists),
        Just(Rule::Absent),
        set.clone().prop_map(Rule::In),
        set.prop_map(Rule::NotIn),
        (-3i64..3).prop_map(Rule::Above),
        (-3i64..3).prop_map(Rule::Below),
    ];
    ("[a-d]", rule).prop_map(|(label, rule)| Requirement { label, rule })
}

fn text(requirement: &Requirement) -> String {
    let label = &requirement.label;
    match &requirement.rule {
        Rule::Exists => label.clone(),
        Rule::Absent => format!("!{label}"),
        Rule::In(set) => format!("{label} in ({})", set.join(",")),
        Rule::NotIn(set) => format!("{label} notin ({})", set.join(",")),
        Rule::Above(limit) => format!("{label}>{limit}"),
        Rule::Below(limit) => format!("{label}<{limit}"),
    }
}

proptest! {
    #[test]
    fn a_selector_written_down_is_read_as_the_same(
        requirements in prop::collection::vec(requirement(), 0..4),
    ) {
        let texts: Vec<_> = requirements.iter().map(text).collect();
        let read = LabelSelector::parse(&texts.join(",")).unwrap();
        prop_assert_eq!(read, LabelSelector(requirements));
    }

    #[test]
    fn all_requirements_must_hold(
        requirements in prop::collection::vec(requirement(), 0..4),
        labels in prop::collection::btree_map("[a-d]", "[a-c]|-?[0-3]", 0..4),
    ) {
        let value = |name: &str| labels.get(name).map(String::as_str);
        let each = requirements.iter().all(|one| {
            LabelSelector(vec![one.clone()]).matches(value)
        });
        prop_assert_eq!(LabelSelector(requirements).matches(value), each);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-b=!<>(), \u{e9}]{0,12}") {
        let _ = LabelSelector::parse(&text);
    }
}
