//! All routes, in the order of the documentation: those of each part in its file, area by area.

mod models;
mod projects;
mod server;
mod work;

use super::table::Table;

/// All routes. Who adds one says what a key needs for it: `route`, if looking is for everybody who may look; and of each
/// of its methods what it does, in a few words. What it takes and gives is read off its handler's types.
pub(super) fn table() -> Table {
    let table = server::routes(Table::default());
    let table = projects::routes(table);
    let table = work::routes(table);
    models::routes(table)
}
