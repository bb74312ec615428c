//! Golden files: what a node of level 1 keeps and sends. They stand in the repository, and every later build opens them.
//!
//! ```text
//! golden/level-1/keys.json         the register's public key, and the key that opens the bundle
//! golden/level-1/data/consensus/   the disk's mark and the log of node 1 of the district
//! golden/level-1/data/warehouse/   its state
//! golden/level-1/register.toml     the signed register, as `kho register issue` writes it
//! golden/level-1/bundle            the district's stream, encrypted to node 1 of the province
//! golden/level-1/wire/             frames between tiers (`child-`, `parent-`, `register-`), and values inside a site (`site-`), one a file
//! ```
//! They are made once, by the last build before a level is left, and never again: [`generate_the_golden_files_of_this_level`].

use std::{
    fs,
    io::{Cursor as Bytes, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use kho_node::consensus::{FirstStart, GroupId, first_start, fuzzing};
use kho_replication::{
    bundle::{BundleAuthor, BundleOpener, BundleReader, BundleWriter, DecryptingReader, EncryptingWriter},
    frames::{
        ChildFrame, Compressed, Cursor, FrameId, Goodbye, Hello, PIECE_PLAIN_BYTES_MAX, ParentFrame, RegisterOffer, RegisterReply,
        RegisterRequest, SEGMENT_PLAIN_BYTES_MAX, StreamHeld, Welcome,
    },
};
use kho_storage::{
    codec::Blob,
    command::{Command, Outcome, Refusal, RowPlace, TransferStart, WriteRequest},
    db::DbLimits,
    encryption::DecryptionKey,
    ids::{ColumnId, Generation, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, TableId, Tier},
    level::{Level, LevelOffer, SUPPORTED},
    log_db::{LogDb, LogMeta},
    register::{NodeEntry, OriginEntry, Register, RevokedIdentity, SignedRegister, SiteEntry, unknown_fields},
    row::RowBuilder,
    schema::{Value, population},
    signature::{PublicKey, SignatureAlgorithm, SigningKey},
    stream::{Change, Head, RowChange, Segment, SignedHead},
    warehouse::{AppliedMark, Warehouse, WarehouseConfig},
};
use serde::{Deserialize, Serialize};

const TREE: &str = "golden";
const CENTRE: SiteId = SiteId(1);
const PROVINCE: SiteId = SiteId(2);
const DISTRICT: SiteId = SiteId(3);
const ORIGIN: OriginId = OriginId(3);
const NODE: NodeId = NodeId(1);
const HOUSEHOLD: TableId = TableId(1);
const BATCHES: u64 = 4;
const ROWS_PER_BATCH: u64 = 5;
/// The register as a file of its own.
const REGISTER: &str = "register.toml";
const NOW: i64 = 1_795_000_000_000;
/// All files of a level together.
const BYTES_MAX: u64 = 200_000;
const COMMAND: &str =
    "cargo test --release -p kho-chaos-tests --test processes -- --ignored --exact golden::generate_the_golden_files_of_this_level";

/// What is needed to open the files.
#[derive(Serialize, Deserialize)]
struct Keys {
    register_key: PublicKey,
    /// PEM. It opens nothing but this bundle.
    decryption_key: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join("level-1")
}

fn config(register_key: PublicKey) -> WarehouseConfig {
    WarehouseConfig {
        tree: TREE.into(),
        site: DISTRICT,
        register_key,
        schema: Arc::new(population().clone()),
        limits: DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 },
        levels: SUPPORTED,
    }
}

fn group() -> GroupId {
    GroupId { tree: TREE.into(), site: DISTRICT }
}

/// The golden file, or the way to make it.
fn golden(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; the golden files are made by\n  {COMMAND}", path.display()))
}

#[test]
fn the_data_folder_of_level_1_is_opened_and_proves_itself() {
    let keys: Keys = serde_json::from_slice(&golden("keys.json")).expect("keys");
    let copy = tempfile::tempdir().expect("a directory");
    copy_files(&folder().join("data"), copy.path());
    let taken = first_start(&copy.path().join("consensus"), &group(), NODE).expect("the mark of this node");
    assert_eq!(taken, FirstStart::TakenBefore);

    let warehouse = Warehouse::open(&copy.path().join("warehouse"), config(keys.register_key)).expect("a state of level 1");
    assert_eq!(warehouse.level(), Level::FOUNDING);
    let proof = warehouse.recompute(ORIGIN, &mut |_, _| ()).expect("reads").expect("the origin is held");
    assert!(proof.holds(), "{proof:?}");
    assert_eq!((proof.rows, proof.seq), (BATCHES * ROWS_PER_BATCH, StreamSeq(BATCHES)));
    let state = warehouse.origin(ORIGIN).expect("reads").expect("held");
    let row = warehouse.read(|reading| reading.row(ORIGIN, &state, HOUSEHOLD, b"3-4")).expect("reads");
    assert!(row.is_some(), "a row that was entered");

    let log = LogDb::open(&copy.path().join("consensus").join("log")).expect("a log of level 1");
    let records = log.read(log.extent().first..log.extent().next, usize::MAX).expect("whole");
    assert_eq!(records.len() as u64, 1 + 2 * BATCHES, "the register, and a batch and a head each");
    for record in records {
        assert_eq!(fuzzing::SiteValue::Entry.rewritten(&record.bytes), Some(record.bytes.clone()), "entry {}", record.index);
    }
    assert!(log.meta(LogMeta::Vote).expect("reads").is_some());
}

#[test]
fn the_register_of_level_1_is_read_verified_and_written_as_it_was() {
    let keys: Keys = serde_json::from_slice(&golden("keys.json")).expect("keys");
    let file = String::from_utf8(golden(REGISTER)).expect("a text");
    let signed = SignedRegister::from_file(&file).expect("text and signatures");
    assert_eq!(signed.to_file(), file, "byte for byte");
    let verified = signed.verify(&keys.register_key, TREE).expect("signed by the centre");
    assert_eq!((verified.version(), verified.author(ORIGIN)), (1, Some(DISTRICT)));
    assert_eq!(verified.site(DISTRICT).expect("it is named").parents, [PROVINCE]);
    assert_eq!(verified.register().revoked_identities.len(), 1);
    assert_eq!(unknown_fields(&signed.text).expect("readable"), Vec::<String>::new(), "a later build knows every field of level 1");

    // It is the one that the node of the data folder adopted.
    let copy = tempfile::tempdir().expect("a directory");
    copy_files(&folder().join("data"), copy.path());
    let warehouse = Warehouse::open(&copy.path().join("warehouse"), config(keys.register_key)).expect("a state of level 1");
    assert_eq!(warehouse.register().expect("it was adopted").hash(), signed.hash());
}

#[test]
fn the_bundle_of_level_1_is_read_and_verified() {
    let keys: Keys = serde_json::from_slice(&golden("keys.json")).expect("keys");
    let copy = tempfile::tempdir().expect("a directory");
    copy_files(&folder().join("data"), copy.path());
    let warehouse = Warehouse::open(&copy.path().join("warehouse"), config(keys.register_key)).expect("a state of level 1");
    let register = warehouse.register().expect("it was adopted");
    let key = DecryptionKey::from_pkcs8_pem(&keys.decryption_key).expect("a key");
    let by = BundleOpener { tree: TREE, site: PROVINCE, node: NODE, key: &key };
    let content = DecryptingReader::open(Bytes::new(golden("bundle")), by).expect("made for the province");
    let mut reader = BundleReader::open(content, &register, PROVINCE).expect("whole");
    let mut batches = 0;
    while let Some(received) = reader.next_segment().expect("whole") {
        batches += received.verify(&register, PROVINCE, Level::FOUNDING).expect("signed by its author").into_segment().batches.len() as u64;
    }
    assert_eq!(batches, BATCHES);
}

#[test]
fn the_frames_of_level_1_are_read_and_written_as_they_were() {
    let mut kinds = std::collections::BTreeSet::new();
    for (name, bytes) in wire() {
        let rewritten = match name.split('-').next() {
            Some("child") => {
                let frame = ChildFrame::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                kinds.insert(format!("child {}", frame.kind()));
                frame.encode().expect("as read")
            }
            Some("parent") => {
                let frame = ParentFrame::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                kinds.insert(format!("parent {}", frame.kind()));
                frame.encode().expect("as read")
            }
            Some("register") if name.ends_with("Request") => {
                kinds.insert("register Request".into());
                RegisterRequest::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")).encode().expect("as read")
            }
            Some("register") => {
                kinds.insert("register Reply".into());
                RegisterReply::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")).encode().expect("as read")
            }
            _ => site_value(&name).rewritten(&bytes).unwrap_or_else(|| panic!("{name} can't be read")),
        };
        assert_eq!(rewritten, bytes, "{name}");
    }
    assert_eq!(kinds.len(), 19, "7 kinds of a child, 10 of a parent and 2 for registers existed at level 1: {kinds:?}");
}

/// The values on the wire with their files' names.
fn wire() -> Vec<(String, Vec<u8>)> {
    let dir = folder().join("wire");
    let entries =
        fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}; the golden files are made by\n  {COMMAND}", dir.display()));
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("a name"));
    names.map(|name| (name.clone(), golden(&format!("wire/{name}")))).collect()
}

/// `site-07-Entry` holds an entry.
fn site_value(name: &str) -> fuzzing::SiteValue {
    let kind = name.rsplit('-').next().unwrap_or_default();
    let known = fuzzing::SiteValue::ALL.into_iter().find(|value| format!("{value:?}") == kind);
    known.unwrap_or_else(|| panic!("{name} names no value inside a site"))
}

fn copy_files(from: &Path, to: &Path) {
    let entries =
        fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}; the golden files are made by\n  {COMMAND}", from.display()));
    fs::create_dir_all(to).expect("writable");
    for entry in entries {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("an entry of a folder").to_str().expect("a name of ours").to_owned();
        // RocksDB makes these anew, and they say nothing about the data.
        let is_left_out = ["LOG", "LOCK", "OPTIONS-"].iter().any(|start| name.starts_with(start));
        if path.is_dir() {
            copy_files(&path, &to.join(&name));
        } else if !is_left_out {
            fs::copy(&path, to.join(&name)).expect("copied");
        }
    }
}

/// Makes the files. Given by hand, once for each level; what stands is replaced.
#[test]
#[ignore = "makes the golden files; given by hand"]
fn generate_the_golden_files_of_this_level() {
    let key = || SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
    let (centre, node, reader) = (key(), key(), DecryptionKey::generate().expect("system randomness"));
    let made = tempfile::tempdir().expect("a directory");
    let data = made.path().join("data");
    let signed = register(&centre, &node, &reader);
    let verified = signed.verify(&centre.public_key(), TREE).expect("just issued");
    assert_eq!(first_start(&data.join("consensus"), &group(), NODE).expect("an empty folder"), FirstStart::Taken);
    let district =
        District { warehouse: Warehouse::open(&data.join("warehouse"), config(centre.public_key())).expect("a fresh folder"), key: node };
    let commands = district.lives(centre.public_key(), &signed);
    let segments: Vec<Segment> = (1..=BATCHES).map(|seq| district.segment(seq)).collect();
    write_log(&data, &commands);

    let mut bundle = BundleWriter::start(Vec::new()).expect("in memory");
    segments.iter().for_each(|segment| bundle.add(segment).expect("in order"));
    let by = BundleAuthor { tree: TREE, reader: PROVINCE, site: DISTRICT, node: NODE, key: &district.key, created_at: SiteTime(NOW) };
    let (content, _) = bundle.finish(by).expect("signs");
    let mut encrypted = EncryptingWriter::start(Vec::new(), &verified, PROVINCE).expect("the province has a node");
    encrypted.write_all(&content).expect("in memory");
    let frames = frames(&district, &signed, &segments, &commands);
    drop(district);

    let to = folder();
    if to.exists() {
        fs::remove_dir_all(&to).expect("removable");
    }
    copy_files(&data, &to.join("data"));
    fs::write(to.join(REGISTER), signed.to_file()).expect("writable");
    fs::write(to.join("bundle"), encrypted.finish().expect("in memory")).expect("writable");
    let keys = Keys { register_key: centre.public_key(), decryption_key: String::clone(&reader.to_pkcs8_pem()) };
    fs::write(to.join("keys.json"), serde_json::to_vec_pretty(&keys).expect("plain values")).expect("writable");
    fs::create_dir_all(to.join("wire")).expect("writable");
    for (name, bytes) in frames {
        fs::write(to.join("wire").join(name), bytes).expect("writable");
    }
    let bytes = bytes_under(&to);
    assert!(bytes <= BYTES_MAX, "{bytes} bytes: the repository takes {BYTES_MAX}");
    println!("{}: {bytes} bytes", to.display());
}

fn bytes_under(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
    entries.map(|path| if path.is_dir() { bytes_under(&path) } else { path.metadata().expect("readable").len() }).sum()
}

fn register(centre: &SigningKey, node: &SigningKey, reader: &DecryptionKey) -> SignedRegister {
    let site = |site: SiteId, name: &str, tier, parents: &[SiteId]| SiteEntry {
        site,
        name: name.into(),
        tier,
        parents: parents.to_vec(),
        areas: vec![],
        addresses: vec!["10.0.0.5:7444".into()],
        nodes: vec![NodeEntry { node: NODE, signing_key: node.public_key(), encryption_key: reader.public_key(), revoked: vec![] }],
    };
    let register = Register {
        tree: TREE.into(),
        version: 1,
        requires: vec![],
        roots: vec![],
        sites: vec![
            site(CENTRE, "Trung ương", Tier::Central, &[]),
            site(PROVINCE, "Tỉnh", Tier::Province, &[CENTRE]),
            site(DISTRICT, "Huyện", Tier::District, &[PROVINCE]),
        ],
        origins: vec![OriginEntry { origin: ORIGIN, author: DISTRICT }],
        revoked_identities: vec![RevokedIdentity { identity: format!("kho://{TREE}/operator/former"), issued_before: SiteTime(NOW) }],
    };
    SignedRegister::issue(&register, centre).expect("whole")
}

/// The node whose data are kept.
struct District {
    warehouse: Warehouse,
    key: SigningKey,
}

impl District {
    /// Takes a register, and enters a few batches with a head after each. What it applied, in order.
    fn lives(&self, pinned: PublicKey, signed: &SignedRegister) -> Vec<Command> {
        let mut commands = vec![Command::AdoptRegister { site_time: SiteTime(NOW), pinned, signed: signed.clone() }];
        self.apply(&commands);
        for batch in 1..=BATCHES {
            commands.push(Self::write(batch));
            self.apply(&commands);
            commands.push(Command::CommitHead { signed: self.head() });
            self.apply(&commands);
        }
        self.warehouse.flush().expect("flushes");
        commands
    }

    /// Applies the last of `commands`, under the position that the consensus would give it.
    fn apply(&self, commands: &[Command]) {
        let seeds = fuzzing::seeds(commands);
        let of = |kind| seeds.iter().find(|(value, _)| *value == kind).map(|(_, bytes)| Blob(bytes.clone())).expect("one of each");
        let mark = AppliedMark { applied: of(fuzzing::SiteValue::Position), membership: of(fuzzing::SiteValue::Membership) };
        let outcome = self.warehouse.apply(&mark, commands.last()).expect("a sound disk");
        assert!(!matches!(outcome, Some(Outcome::Refused(_))), "{outcome:?}");
    }

    fn write(batch: u64) -> Command {
        let changes = (0..ROWS_PER_BATCH).map(|row| {
            let id = format!("{batch}-{row}");
            let mut cells = RowBuilder::default();
            cells.push(ColumnId(1), &Value::Text(id.as_str().into()));
            cells.push(ColumnId(3), &Value::Code(0));
            cells.push(ColumnId(6), &Value::Text("12 Phố Huế".into()));
            cells.push(ColumnId(7), &Value::Area(10_001));
            cells.push(ColumnId(8), &Value::Code(0));
            Change { table: HOUSEHOLD, key: Blob(id.into_bytes()), row: RowChange::Whole(Blob(cells.finish())) }
        });
        let key = format!("golden-{batch}");
        let request = WriteRequest { body_hash: Hash32::of(key.as_bytes()), key, changes: changes.collect(), needs: vec![] };
        Command::Write { site_time: SiteTime(NOW + i64::try_from(batch).expect("few") * 1_000), origin: ORIGIN, requests: vec![request] }
    }

    fn head(&self) -> SignedHead {
        let state = self.warehouse.origin(ORIGIN).expect("reads").expect("written");
        let head = Head {
            origin: ORIGIN,
            epoch: state.epoch,
            seq: state.last(),
            chain: state.chain,
            digest: state.sum.digest(),
            rows: state.rows,
            site_time: state.batch_time,
        };
        SignedHead::sign(head, DISTRICT, NODE, &self.key).expect("signs")
    }

    /// The segment of one batch.
    fn segment(&self, seq: u64) -> Segment {
        self.warehouse.segment(ORIGIN, StreamSeq(seq), 1).expect("reads").expect("kept")
    }
}

fn write_log(data: &Path, commands: &[Command]) {
    let seeds = fuzzing::seeds(commands);
    let of = |kind| seeds.iter().filter(move |(value, _)| *value == kind).map(|(_, bytes)| bytes);
    let log = LogDb::open(&data.join("consensus").join("log")).expect("made by the first start");
    log.append((1..).zip(of(fuzzing::SiteValue::Entry))).expect("consecutive");
    let vote = of(fuzzing::SiteValue::Vote).next().expect("one of each");
    log.put_meta(LogMeta::Vote, vote, true).expect("writable");
    log.flush().expect("flushes");
}

/// One frame of each kind between tiers, and the values inside a site, by the names of their files.
fn frames(district: &District, signed: &SignedRegister, segments: &[Segment], commands: &[Command]) -> Vec<(String, Vec<u8>)> {
    let state = district.warehouse.origin(ORIGIN).expect("reads").expect("written");
    let cursor = Cursor { epoch: state.epoch, next: state.next }.for_origin(ORIGIN);
    let held = vec![StreamHeld { origin: ORIGIN, epoch: state.epoch, next: state.next, oldest_kept: StreamSeq(1) }];
    let piece = district.warehouse.read(|reading| reading.piece(ORIGIN, &RowPlace::default(), 1 << 16)).expect("reads").expect("held");
    let start = TransferStart { origin: ORIGIN, epoch: state.epoch, kept_after: StreamSeq(1), kept_after_chain: state.chain };
    let segment = Compressed::pack(&segments[0], SEGMENT_PLAIN_BYTES_MAX).expect("short");
    let levels = LevelOffer::default();
    let child = [
        ChildFrame::Hello(Hello {
            levels,
            site: DISTRICT,
            node: NODE,
            register_version: 1,
            register_hash: signed.hash(),
            streams: held.clone(),
        }),
        ChildFrame::Streams(held),
        ChildFrame::Segment { id: FrameId(1), origin: ORIGIN, segment },
        ChildFrame::TransferStart { id: FrameId(2), start },
        ChildFrame::Piece {
            id: FrameId(3),
            origin: ORIGIN,
            generation: Generation(1),
            piece: Compressed::pack(&piece, PIECE_PLAIN_BYTES_MAX).expect("short"),
        },
        ChildFrame::Goodbye(Goodbye::Stopping),
        ChildFrame::Clock(SiteTime(NOW)),
    ];
    let offer = RegisterOffer { version: 1, hash: signed.hash() };
    let welcome = Welcome {
        levels,
        level: Level::FOUNDING,
        site: PROVINCE,
        registers: vec![offer],
        cursors: vec![cursor],
        transfers: vec![],
        heads: vec![district.head()],
        in_flight_bytes_max: 32 << 20,
    };
    let transfer = kho_storage::command::TransferStatus::WantsPiece {
        origin: ORIGIN,
        epoch: state.epoch,
        generation: Generation(1),
        from: RowPlace::default(),
    };
    let refusal = Refusal::Gap { origin: ORIGIN, wanted: StreamSeq(2), given: StreamSeq(4) };
    let parent = [
        ParentFrame::Welcome(welcome),
        ParentFrame::Redirect { addresses: vec!["10.0.0.5:7444".into()] },
        ParentFrame::Cursors { cursors: vec![cursor], transfers: vec![transfer.clone()], heads: vec![] },
        ParentFrame::Adopted { id: FrameId(1), cursor },
        ParentFrame::TransferWants { id: FrameId(2), status: transfer },
        ParentFrame::Refused { id: Some(FrameId(3)), origin: ORIGIN, refusal },
        ParentFrame::Busy { id: FrameId(4), retry_after_ms: 500 },
        ParentFrame::Registers(vec![offer]),
        ParentFrame::Goodbye(Goodbye::NoLeader),
        ParentFrame::Clock(SiteTime(NOW)),
    ];
    let mut files = Vec::new();
    for frame in child {
        files.push((format!("child-{:02}-{}", files.len(), frame.kind()), frame.encode().expect("short")));
    }
    for frame in parent {
        files.push((format!("parent-{:02}-{}", files.len(), frame.kind()), frame.encode().expect("short")));
    }
    let request = RegisterRequest { hash: signed.hash() };
    files.push((format!("register-{:02}-Request", files.len()), request.encode().expect("short")));
    for reply in [RegisterReply::pack(signed).expect("short"), RegisterReply::NotHeld] {
        files.push((format!("register-{:02}-Reply", files.len()), reply.encode().expect("short")));
    }
    for (kind, bytes) in fuzzing::seeds(commands) {
        files.push((format!("site-{:02}-{kind:?}", files.len()), bytes));
    }
    files
}
