use super::*;

fn entries(range: Range<u64>) -> impl Iterator<Item = (u64, Vec<u8>)> {
    range.map(|index| (index, vec![index as u8; 100]))
}

fn indexes(log: &LogDb, range: Range<u64>, bytes_max: usize) -> Vec<u64> {
    log.read(range, bytes_max).expect("whole log").iter().map(|record| record.index).collect()
}

#[test]
fn a_log_opened_again_has_its_entries_its_extent_and_its_words() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        assert!(log.extent().is_empty());
        log.append(entries(5..15)).expect("consecutive");
        log.put_word(LogWord::Vote, b"seven", true).expect("writable");
        log.sync().expect("writable");
    }
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(log.extent(), LogExtent { first: 5, next: 15 });
    assert_eq!(log.word(LogWord::Vote), Ok(Some(b"seven".to_vec())));
    assert_eq!(log.word(LogWord::Committed), Ok(None));
    assert_eq!(log.read(7..8, 0).expect("whole log"), [LogRecord { index: 7, bytes: vec![7; 100] }]);
}

#[test]
fn a_read_is_bounded_in_bytes_but_yields_at_least_one_entry() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..10)).expect("consecutive");
    assert_eq!(indexes(&log, 0..100, usize::MAX).len(), 10);
    assert_eq!(indexes(&log, 3..10, 250), [3, 4]);
    assert_eq!(indexes(&log, 3..10, 1), [3]);
    assert!(indexes(&log, 10..20, 1000).is_empty());
}

#[test]
fn an_entry_that_leaves_a_hole_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..3)).expect("consecutive");
    assert!(matches!(log.append(entries(4..5)), Err(LogDbError::NotConsecutive { wanted: 3, given: 4, .. })));
    assert!(matches!(log.append([(3, b"a"), (5, b"b")]), Err(LogDbError::NotConsecutive { .. })));
    assert_eq!(log.extent().next, 3, "a refused write leaves nothing behind");
}

#[test]
fn truncated_and_purged_entries_stay_away_after_a_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append(entries(0..20)).expect("consecutive");
        log.truncate_from(15).expect("writable");
        log.purge_to(9, b"purged at 9").expect("writable");
        log.append(entries(15..16)).expect("consecutive");
        log.sync().expect("writable");
    }
    let log = LogDb::open(dir.path()).expect("own log");
    assert_eq!(indexes(&log, 0..100, usize::MAX), [10, 11, 12, 13, 14, 15]);
    assert_eq!(log.purged(), Ok(Some(b"purged at 9".to_vec())));
    log.purge_to(40, b"purged at 40").expect("writable");
    assert!(log.extent().is_empty());
    log.append(entries(41..42)).expect("a log emptied by a purge goes on behind it");
    assert_eq!(indexes(&log, 0..100, usize::MAX), [41]);
}

#[test]
fn bytes_are_counted_from_any_index_through_truncation_purge_and_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    {
        let log = LogDb::open(dir.path()).expect("fresh directory");
        log.append(entries(0..20)).expect("consecutive");
        log.truncate_from(12).expect("writable");
        log.append(entries(12..14)).expect("consecutive");
        assert_eq!(log.bytes_from(0), Ok(1400));
    }
    let log = LogDb::open(dir.path()).expect("own log");
    log.purge_to(3, b"3").expect("writable");
    assert_eq!(log.bytes_from(0), Ok(1000));
    assert_eq!(log.bytes_from(10), Ok(400));
    assert_eq!(log.bytes_from(14), Ok(0));
}

#[test]
fn a_flipped_byte_is_reported_with_the_entry_it_hit() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..3)).expect("consecutive");
    let mut value = log.db.get(entry_key(1)).expect("readable").expect("appended");
    *value.last_mut().expect("not empty") ^= 1;
    log.db.put(entry_key(1), value).expect("writable");
    let text = log.read(0..3, usize::MAX).expect_err("damaged").to_string();
    assert!(text.contains("entry 1") && text.contains("checksum"), "{text}");
    // A whole entry under another's key is damage as well.
    let other = log.db.get(entry_key(0)).expect("readable").expect("appended");
    log.db.put(entry_key(1), other).expect("writable");
    assert!(matches!(log.read(1..2, usize::MAX), Err(LogDbError::Damaged { .. })));
}

#[test]
fn a_missing_entry_is_reported_and_not_skipped() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let log = LogDb::open(dir.path()).expect("fresh directory");
    log.append(entries(0..5)).expect("consecutive");
    log.db.delete(entry_key(2)).expect("writable");
    assert!(matches!(log.read(0..5, usize::MAX), Err(LogDbError::Damaged { .. })));
    log.db.delete(entry_key(4)).expect("writable");
    assert!(matches!(log.read(3..5, usize::MAX), Err(LogDbError::Damaged { .. })));
}
