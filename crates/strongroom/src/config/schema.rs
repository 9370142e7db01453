//! The JSON schema of the configuration file, made from its types and checked in for editors.

use schemars::generate::SchemaSettings;

use super::file::File;

/// The schema as it stands in `docs/schema/strongroom.schema.json`.
pub(crate) fn schema() -> String {
    let schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<File>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema serializes");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    const PATH: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/schema/strongroom.schema.json"
    );

    #[test]
    fn the_checked_in_schema_is_this_one() {
        if std::env::var_os("STRONGROOM_WRITE_GOLDEN").is_some() {
            std::fs::write(PATH, super::schema()).expect("write the schema");
        }
        let checked_in = std::fs::read_to_string(PATH).expect("the checked-in schema");
        assert!(
            checked_in == super::schema(),
            "docs/schema/strongroom.schema.json is stale: STRONGROOM_WRITE_GOLDEN=1 cargo test -p strongroom"
        );
    }
}
