use super::*;

const SEAL: Seal = Seal {
    of: "isthmus test",
    version: "1",
};

fn lines<'l>(lines: &'l [&str]) -> impl Iterator<Item = io::Result<Vec<u8>>> + use<'l> {
    lines.iter().map(|line| Ok(line.as_bytes().to_vec()))
}

/// All lines, a batch in each text.
fn said(bytes: &[u8]) -> Result<(Vec<String>, usize), Broken> {
    let contents = decode(SEAL, bytes)?;
    let text = |batch: &Vec<&[u8]>| String::from_utf8(batch.join(&b' ')).unwrap();
    let all = contents.batches.iter().map(text).collect();
    Ok((all, contents.unused))
}

/// A journal of two batches in this directory.
fn two(directory: &Path) -> Journal {
    let mut journal = Journal::new(directory, "state", SEAL);
    let all = ["a whole", "state that is long enough", "for one change"];
    journal.replace(lines(&all)).unwrap();
    assert!(journal.append(lines(&["one"])).unwrap());
    let encoded = encode(SEAL, [lines(&all), lines(&["one"])]).unwrap();
    assert_eq!(fs::read(journal.path()).unwrap(), encoded);
    journal
}

#[test]
fn what_is_read_is_what_was_written_batch_by_batch() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = two(root.path());
    assert!(
        !journal.append(lines(&["two", "lines"])).unwrap(),
        "too long"
    );
    let bytes = fs::read(journal.path()).unwrap();
    let whole = "a whole state that is long enough for one change";
    assert_eq!(
        said(&bytes),
        Ok((vec![whole.to_owned(), "one".to_owned()], 0))
    );
    // Nothing is added before all is written again.
    assert!(!journal.append(lines(&["two"])).unwrap());
    journal.replace(lines(&["another"])).unwrap();
    let bytes = fs::read(journal.path()).unwrap();
    assert_eq!(said(&bytes), Ok((vec!["another".to_owned()], 0)));
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "isthmus test 1\nanother\nsha256 \
         635962579dfc6f6836524a653a3331cc97e64d7d474f742bec6513e1427071b3\n"
    );
}

#[test]
fn whatever_is_cut_or_changed_what_counts_is_a_state_that_was() {
    let root = tempfile::tempdir().unwrap();
    let journal = two(root.path());
    let bytes = fs::read(journal.path()).unwrap();
    let (all, _) = said(&bytes).unwrap();
    let whole = journal.open.unwrap().whole as usize;
    let holds = |part: &[u8], place: usize| match said(part) {
        Err(_) => assert!(place < whole, "{place}"),
        Ok((some, unused)) => {
            assert!(place >= whole, "{place}");
            assert_eq!((&some[..], unused), (&all[..1], part.len() - whole));
        }
    };
    for place in 0..bytes.len() {
        holds(&bytes[..place], place);
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            holds(&changed, place);
            assert_ne!(said(&changed), said(&bytes));
        }
    }
    assert_eq!(said(&[&bytes[..], b"half a "].concat()), Ok((all, 7)));
}

#[test]
fn nothing_is_added_to_a_file_of_others() {
    let root = tempfile::tempdir().unwrap();
    let gone: fn(&Path) = |path| fs::remove_file(path).unwrap();
    let other: fn(&Path) = |path| {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let longer: fn(&Path) = |path| {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(b"x").unwrap();
    };
    for meddle in [gone, other, longer] {
        let mut journal = Journal::new(root.path(), "state", SEAL);
        let long = "a whole state with room for more changes than these".repeat(9);
        journal.replace(lines(&[&long])).unwrap();
        for _ in 0..2 {
            assert!(journal.append(lines(&["one"])).unwrap());
        }
        meddle(&journal.path());
        assert!(!journal.append(lines(&[])).unwrap());
    }
}

#[test]
fn a_line_that_cannot_be_told_apart_is_no_line() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = two(root.path());
    let before = fs::read(journal.path()).unwrap();
    for line in ["one\ntwo", "sha256 of something"] {
        assert!(journal.replace(lines(&[line])).is_err());
    }
    assert_eq!(fs::read(journal.path()).unwrap(), before);
}
