//! Bakes `tauri.conf.json` and the icon into the binary. No command is declared: the pages in the
//! window can ask the shell for nothing.

fn main() {
    tauri_build::build();
}
