//! How skills are found, read and told.

use super::*;

struct Place {
    dir: tempfile::TempDir,
    skills: Skills,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let skills = Skills::new(dir.path().join("project"), dir.path().join("home"));
        Self { dir, skills }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path).join(FILE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.skills.find().skills.into_iter().map(|skill| skill.name).collect()
    }
}

fn skill(name: &str, description: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\n\nDo {name} well.\n")
}

#[test]
fn skills_are_found_in_every_folder_and_the_first_of_a_name_counts() {
    let place = Place::new();
    for folder in PROJECT_FOLDERS {
        let name = folder.trim_start_matches('.').replace('/', "-");
        place.write(&format!("project/{folder}/deep/{name}"), &skill(&name, "One."));
        place.write(&format!("project/{folder}/same"), &skill("same", folder));
    }
    place.write("home/.agents/skills/own", &skill("own", "Of the home folder."));
    place.write("project/.toft/skills/toft-skills-2/inner", &skill("within", "Found too."));
    place.write("project/.toft/skills/same/inner", &skill("hidden", "Within another skill."));
    place.write("project/.toft/skills/node_modules/x", &skill("module", "Not ours."));
    assert_eq!(
        place.names(),
        ["toft-skills", "same", "within", "agents-skills", "pi-skills", "claude-skills", "own"]
    );
    let found = place.skills.find();
    assert_eq!(found.skills[1].description, ".toft/skills");
    assert!(found.skills[0].of_project && !found.skills[6].of_project);
    assert_eq!(found.faults.len(), 3, "{:?}", found.faults);
}

#[test]
fn a_bad_skill_is_told_once_and_the_others_work() {
    let place = Place::new();
    place.write("project/.toft/skills/good", &skill("good", "Fine."));
    place.write("project/.toft/skills/bare", "# No front matter");
    place.write("project/.toft/skills/mute", "---\nname: mute\n---\n");
    place.write("project/.toft/skills/odd", &skill("has blanks", "Odd."));
    place.write("project/.toft/skills/long", &skill("long", &"x".repeat(2_000)));
    place.write("project/.toft/skills/named-by-folder", "---\ndescription: No name.\n---\n");
    std::fs::create_dir_all(place.dir.path().join("project/.toft/skills/pit/SKILL.md")).unwrap();
    assert_eq!(place.names(), ["good", "long", "named-by-folder"]);
    let found = place.skills.find();
    assert_eq!(found.skills[1].description.len(), DESCRIPTION_CHARS_MAX);
    assert_eq!(place.skills.untold(&found.faults).len(), 4);
    assert!(place.skills.untold(&place.skills.find().faults).is_empty());
    place.write("project/.toft/skills/mute", "---\nname: mute mute\n---\n");
    assert_eq!(place.skills.untold(&place.skills.find().faults).len(), 1, "another fault is news");
}

#[test]
fn the_prompt_names_them_within_bounds_and_stays_the_same() {
    let place = Place::new();
    assert_eq!(place.skills.prompt(&place.skills.find()), "");
    place.write("project/.agents/skills/pdf", &skill("pdf", "Fill in forms."));
    place.write(
        "project/.agents/skills/deploy",
        "---\nname: deploy\ndescription: Ship.\ndisable-model-invocation: true\n---\n",
    );
    let text = place.skills.prompt(&place.skills.find());
    assert!(text.ends_with("\n- pdf: Fill in forms. (.agents/skills/pdf/SKILL.md)"), "{text}");
    assert_eq!(text, place.skills.prompt(&place.skills.find()));
    for n in 0..40 {
        place.write(
            &format!("project/.agents/skills/s{n}"),
            &skill(&format!("s{n}"), &"y".repeat(1_000)),
        );
    }
    let text = place.skills.prompt(&place.skills.find());
    assert!(text.len() < PROMPT_BYTES_MAX + 200 && text.contains("more are left out"));
}

#[test]
fn a_person_has_a_skill_read() {
    let place = Place::new();
    place.write("project/.pi/skills/pdf", &skill("pdf", "Forms."));
    let expand = |text: &str| place.skills.expand(UserContent::Text(text.into()));
    let folder = place.dir.path().join("project/.pi/skills/pdf");
    let block = format!(
        "<skill name=\"pdf\" location=\"{0}/SKILL.md\">\nReferences are relative to {0}.\n\nDo pdf well.\n</skill>",
        folder.display()
    );
    assert_eq!(expand("/skill:pdf"), (UserContent::Text(block.clone()), None));
    let (content, none) = expand("/skill:pdf  fill in\nthis form ");
    let said = format!("{block}\n\nfill in\nthis form");
    assert_eq!((content, none), (UserContent::Text(said.clone()), None));
    assert_eq!(typed(&said).unwrap(), "/skill:pdf fill in\nthis form");
    for plain in ["hello", " /skill:pdf", "see /skill:pdf"] {
        assert_eq!(expand(plain), (UserContent::Text(plain.into()), None));
        assert_eq!(typed(plain), None);
    }
    let (content, told) = expand("/skill:pfd x");
    assert_eq!(content, UserContent::Text("/skill:pfd x".into()));
    assert!(told.unwrap().contains("There are: pdf."));
    let image = Block::Image { data: String::new(), mime_type: "image/png".into() };
    let blocks = UserContent::Blocks(vec![image, Block::text("/skill:pdf")]);
    assert!(asks(&blocks));
    let UserContent::Blocks(blocks) = place.skills.expand(blocks).0 else { panic!() };
    assert_eq!(blocks[1], Block::text(block));
}
