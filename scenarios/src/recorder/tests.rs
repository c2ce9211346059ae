use super::*;

fn record(at: u64, address: &str, happening: Happening) -> Record {
    Record {
        at,
        cluster: "c".to_owned(),
        address: address.to_owned(),
        happening,
    }
}

fn write(begun: u64, address: &str, present: bool) -> Written {
    Written {
        begun,
        address: address.to_owned(),
        present,
    }
}

#[test]
fn a_removal_is_founded_by_a_write_of_its_own_before_it() {
    let records = Records(vec![
        record(1, "a", Happening::Added),
        record(10, "a", Happening::Removed),
        record(12, "a", Happening::Added),
        record(20, "a", Happening::Removed),
        record(21, "b", Happening::Removed),
    ]);
    let once = [write(5, "a", false), write(11, "a", true)];
    let times = |records: Vec<Record>| records.iter().map(|r| r.at).collect::<Vec<_>>();
    assert_eq!(times(records.unfounded(&once)), [20, 21]);
    let late = [write(5, "a", false), write(25, "a", false)];
    assert_eq!(times(records.unfounded(&late)), [20, 21]);
    let both = [
        write(5, "a", false),
        write(15, "a", false),
        write(3, "b", false),
    ];
    assert!(records.unfounded(&both).is_empty());
}

#[test]
fn a_delay_is_counted_from_the_newest_write_before_it() {
    let written = [
        write(5, "a", false),
        write(7, "a", true),
        write(20, "a", false),
        write(40, "a", false),
    ];
    let told = [
        (8, Happening::Removed),
        (9, Happening::Added),
        (30, Happening::Removed),
    ];
    let records = Records(told.map(|(at, what)| record(at, "a", what)).into());
    let expected = [2, 3, 10].map(Duration::from_micros);
    assert_eq!(records.delays(&written), expected);
}

#[test]
fn what_is_known_is_what_was_told_last() {
    let records = Records(vec![
        record(1, "a", Happening::Added),
        record(1, "b", Happening::Added),
        record(2, "a", Happening::Removed),
    ]);
    assert_eq!(records.known(), BTreeSet::from(["b".to_owned()]));
}

#[test]
fn who_remembers_tells_of_what_had_gone_and_then_the_truth() {
    let written = [
        write(0, "a", true),
        write(5, "a", false),
        write(0, "b", true),
    ];
    let records = Records(vec![
        record(1, "a", Happening::Added),
        record(1, "b", Happening::Added),
        record(6, "a", Happening::Removed),
        record(10, "a", Happening::Added),
        record(13, "a", Happening::Removed),
    ]);
    assert_eq!(records.ghosts(&written), [Duration::from_micros(3)]);
    assert_eq!(records.unfounded(&written).len(), 1);
    assert!(records.untrue(&written).is_empty());
    assert!(records.strangers(&written).is_empty());
    let lies = Records(vec![
        record(2, "b", Happening::Removed),
        record(3, "c", Happening::Added),
    ]);
    assert_eq!(lies.untrue(&written).len(), 1);
    assert_eq!(lies.strangers(&written).len(), 1);
}
