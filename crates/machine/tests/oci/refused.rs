//! What is said where machines cannot be made.

use super::{lab::config, podman::Podman};
use toft_machine::oci::{self, OciImage};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_is_named_with_what_to_do() {
    let Some(podman) = Podman::start() else { return };
    let name = OciImage::Name("localhost/never-made".to_owned());
    let said = oci::open(config(&podman, name)).await.unwrap_err().to_string();
    assert!(said.contains("localhost/never-made") && said.contains("podman pull"), "{said}");
    let gone = podman.dir.path().join("gone.tar");
    let said = oci::open(config(&podman, OciImage::Tarball(gone))).await.unwrap_err().to_string();
    assert!(said.contains("gone.tar") && said.contains("--oci-image"), "{said}");
    let odd = podman.dir.path().join("odd.tar");
    std::fs::write(&odd, "this is no archive").unwrap();
    let said = oci::open(config(&podman, OciImage::Tarball(odd))).await.unwrap_err().to_string();
    assert!(said.contains("odd.tar"), "{said}");
    assert_eq!(podman.containers(), Vec::<String>::new());
}
