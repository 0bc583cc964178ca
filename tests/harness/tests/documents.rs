//! The documents: what they name is there, and their lines are short. A path, a link or a command
//! that leads nowhere is worse than none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Characters a line.
const WIDTH: usize = 100;

/// Fails when a word is put before a full line of README.md.
#[test]
fn lines_of_prose_are_at_most_a_hundred_columns() {
    let long = |document: &Document| {
        let lines = document.prose().filter(|line| is_too_long(line));
        lines.map(|line| document.say(line)).collect()
    };
    assert_none(long);
}

/// Fails when a heading of docs/OPERATIONS.md gets another name, or a file another place.
#[test]
fn links_lead_to_a_file_and_to_a_heading_of_it() {
    assert_none(|document| {
        let dead = document
            .links()
            .filter(|link| !document.leads_somewhere(link));
        dead.map(|link| document.say(link)).collect()
    });
}

/// Fails when a source file that ARCHITECTURE.md names is moved. A path may be written from any
/// folder above the file: `commit.rs` too.
#[test]
fn paths_in_backticks_are_there() {
    let repository = Repository::read();
    assert_none(|document| {
        let paths = document.code_spans().filter(|span| is_path(span));
        let lost = paths.filter(|path| !repository.has(path));
        lost.map(|path| document.say(path)).collect()
    });
}

/// Fails when a crate or a test file gets another name.
#[test]
fn commands_name_crates_tests_and_programs_that_are_there() {
    let repository = Repository::read();
    assert_none(|document| {
        let named = |option: &'static str| document.arguments_of(option);
        let crates = named("-p").filter(|name| !repository.has_package(name));
        let tests = named("--test").filter(|name| !repository.has_test(name));
        let programs = named("--bin").filter(|name| !repository.has_program(name));
        let lost = crates.chain(tests).chain(programs);
        lost.map(|name| document.say(&name)).collect()
    });
}

/// Fails when the section "Refused starts" of docs/OPERATIONS.md gets another name.
#[test]
fn messages_of_the_programs_name_sections_that_are_there() {
    const IN_THE_RUNBOOK: &str = "\\\" in docs/OPERATIONS.md";
    let runbook = Document::read(root().join("docs/OPERATIONS.md"));
    let sources = Repository::read().paths;
    let mut count = 0;
    for source in sources
        .iter()
        .filter(|path| path.starts_with("vault-") && path.ends_with(".rs"))
    {
        let text = fs::read_to_string(root().join(source)).expect("a source can be read");
        let before: Vec<_> = text.split(IN_THE_RUNBOOK).collect();
        for message in &before[..before.len() - 1] {
            let (_, section) = message.rsplit_once('"').expect("a section is in quotes");
            assert!(
                runbook.has_heading(&address_of(section)),
                "{source}: {section}"
            );
            count += 1;
        }
    }
    assert!(count > 0, "no message names a section");
}

/// Fails when two refusals get one code, or when an item of the list in "Refused starts" is missing
/// or of no refusal.
#[test]
fn the_runbook_lists_every_code_of_a_refused_start_once() {
    let source = root().join("vault-server/ledger/src/error.rs");
    let source = fs::read_to_string(source).expect("the ledger's errors are there");
    let of_a_refusal = source.lines().filter(|line| line.contains("OpenError::"));
    let in_the_source = of_a_refusal.filter_map(|line| {
        let (_, code) = line.split_once("=> \"")?;
        code.strip_suffix("\",")
    });
    let runbook = Document::read(root().join("docs/OPERATIONS.md"));
    let (_, section) = runbook
        .text
        .split_once("\n## Refused starts\n")
        .expect("it is there");
    let (section, _) = section
        .split_once("\n## ")
        .expect("another section follows");
    let listed = section.lines().filter_map(|line| {
        let (code, _) = line.strip_prefix("- `")?.split_once("`: ")?;
        Some(code)
    });
    let (mut in_the_source, mut listed): (Vec<_>, Vec<_>) =
        (in_the_source.collect(), listed.collect());
    in_the_source.sort_unstable();
    listed.sort_unstable();
    assert!(
        in_the_source.len() > 20,
        "the codes are not where they were"
    );
    assert!(
        in_the_source.is_sorted_by(|a, b| a < b),
        "{in_the_source:?}"
    );
    assert_eq!(in_the_source, listed);
}

fn assert_none(findings: impl Fn(&Document) -> Vec<String>) {
    let documents = Document::all();
    assert!(documents.len() > 5, "the documents are not where they were");
    let found: Vec<_> = documents.iter().flat_map(findings).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A word that cannot be broken, such as an address, may be as long as it is.
fn is_too_long(line: &str) -> bool {
    line.chars().count() > WIDTH && line.trim().contains(' ')
}

/// Not one from the root of a machine, and no label of the protocol.
fn is_path(span: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let has_ending = ["/", ".rs", ".md", ".toml"]
        .iter()
        .any(|end| span.ends_with(end));
    let is_ours = !span.starts_with('/') && !span.starts_with("backup-key-vault/");
    has_ending && is_ours && span.chars().all(is_plain)
}

/// As a heading's address is made of its text.
fn address_of(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.trim().replace(' ', "-")
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .expect("the tests are in the repository")
}

/// A Markdown file.
struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    fn all() -> Vec<Document> {
        let files = Repository::read().paths;
        let documents = files.into_iter().filter(|path| path.ends_with(".md"));
        documents
            .map(|path| Document::read(root().join(path)))
            .collect()
    }

    fn read(path: PathBuf) -> Document {
        let text = fs::read_to_string(&path).expect("a document can be read");
        Document { path, text }
    }

    fn say(&self, what: &str) -> String {
        format!("{}: {what}", self.path.display())
    }

    /// Lines outside of code, tables and headings.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut is_code = false;
        self.text.lines().filter(move |line| {
            let line = line.trim_start();
            let is_fence = line.starts_with("```");
            is_code ^= is_fence;
            !(is_code || is_fence || line.starts_with('|') || line.starts_with('#'))
        })
    }

    /// Where `](…)` leads.
    fn links(&self) -> impl Iterator<Item = &str> {
        let behind = self.text.split("](").skip(1);
        let links = behind.filter_map(|rest| rest.split_once(')'));
        links.map(|(link, _)| link)
    }

    fn leads_somewhere(&self, link: &str) -> bool {
        if link.starts_with("https://") {
            return true;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let folder = self.path.parent().expect("a file is in a folder");
        let target = if file.is_empty() {
            self.path.clone()
        } else {
            folder.join(file)
        };
        let has_heading = || Document::read(target.clone()).has_heading(heading);
        target.exists() && (heading.is_empty() || has_heading())
    }

    fn has_heading(&self, address: &str) -> bool {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        let mut addresses = headings.map(|line| address_of(line.trim_start_matches('#')));
        addresses.any(|one| one == address)
    }

    /// What is in backticks within a line.
    fn code_spans(&self) -> impl Iterator<Item = &str> {
        let lines = self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("```"));
        lines.flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// The words behind `-p`, `--test` and the like.
    fn arguments_of(&self, option: &'static str) -> impl Iterator<Item = String> {
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let words = self
            .text
            .split_whitespace()
            .map(|word| word.trim_matches(['`', '(', ')']));
        let behind = words.clone().skip(1);
        let pairs = words.zip(behind).filter(move |(word, _)| *word == option);
        let names = pairs.map(move |(_, name)| name.split(|c| !is_of_a_name(c)).next());
        names
            .flatten()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }
}

/// The names of all files and folders, relative to the repository; those of folders end with `/`.
struct Repository {
    paths: BTreeSet<String>,
}

impl Repository {
    fn read() -> Repository {
        let mut paths = BTreeSet::new();
        collect(&root(), "", &mut paths);
        Repository { paths }
    }

    fn has(&self, path: &str) -> bool {
        let below = format!("/{path}");
        self.paths.contains(path) || self.paths.iter().any(|one| one.ends_with(&below))
    }

    fn has_test(&self, name: &str) -> bool {
        self.has(&format!("tests/{name}.rs")) || self.has(&format!("tests/{name}/main.rs"))
    }

    fn has_program(&self, name: &str) -> bool {
        let files = [
            format!("src/bin/{name}.rs"),
            format!("src/bin/{name}/main.rs"),
        ];
        files.iter().any(|file| self.has(file)) || self.has_package(name)
    }

    /// A package or a target of that name.
    fn has_package(&self, name: &str) -> bool {
        let manifests = self
            .paths
            .iter()
            .filter(|path| path.ends_with("Cargo.toml"));
        let mut texts = manifests.map(|path| fs::read_to_string(root().join(path)));
        let wanted = format!("name = \"{name}\"");
        texts.any(|text| {
            text.expect("a manifest can be read")
                .lines()
                .any(|line| line == wanted)
        })
    }
}

/// Everything but what tools leave behind.
fn collect(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read to its end");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        if ["target", "node_modules", ".git", "mutants.out"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("an entry has a type").is_dir() {
            let below = format!("{path}/");
            collect(&entry.path(), &below, paths);
            paths.insert(below);
        } else {
            paths.insert(path);
        }
    }
}
