//! Projects that want an image of their own: whole root file systems, and nothing of the host.

use super::lab::{GRACE, Lab, config, spec};
use std::{fs, process::Command, sync::Arc};
use toft_machine::{
    backend::Backend as _,
    images::{ImageError, Images, Progress, Source},
    oci::{self, OciImage},
};
use toft_model::id::ProjectId;

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_of_an_image_of_its_own_and_others_of_the_servers() {
    let Some(lab) = Lab::open().await else { return };
    let images: &dyn Images = lab.oci.images().unwrap();
    // The same root with one file more.
    let root = lab.podman.dir.path().join("root");
    fs::write(root.join("etc/own"), "of the image\n").unwrap();
    let tarball = lab.podman.dir.path().join("own.tar");
    let packed =
        Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tarball).arg(".").status();
    assert!(packed.unwrap().success());
    let found = images.resolve(&Source::Path(tarball)).await.unwrap();
    let bytes = images.import(&found, Arc::new(Progress::default())).await.unwrap();
    assert!(bytes > 100_000, "{bytes}");
    assert_eq!(images.kept().await.unwrap(), std::slice::from_ref(&found.key));

    let (project, _) = lab.machine().await;
    let own = ProjectId::random();
    images.create_from(&own, &found.key).await.unwrap();
    images.create_from(&own, &found.key).await.unwrap();
    assert!(images.has_disk(&own).await.unwrap());
    lab.oci.start(spec(&own)).await.unwrap();
    assert_eq!(lab.says(&own, "cat /etc/own; echo $SHELL").await, "of the image\n/bin/sh");
    assert_ne!(lab.shell(&project, "cat /etc/own").await.1, Some(0));

    // A template of it, without what is the project's own beside its files.
    lab.says(&own, "echo made > /opt/made; mkdir -p /home/starter/sessions").await;
    let refused = images.keep(&own, None, &"0".repeat(32).parse().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("stop it first"), "{refused}");
    lab.oci.stop(&own, GRACE).await.unwrap();
    let key = "0".repeat(32).parse().unwrap();
    images.keep(&own, None, &key).await.unwrap();
    images.drop_image(&found.key).await.unwrap();
    let second = ProjectId::random();
    let missing = images.create_from(&second, &found.key).await.unwrap_err();
    assert!(matches!(missing, ImageError::Missing(_)), "{missing}");
    images.create_from(&second, &key).await.unwrap();
    lab.oci.start(spec(&second)).await.unwrap();
    assert_eq!(
        lab.says(&second, "cat /etc/own /opt/made; ls /home/starter").await,
        "of the image\nmade"
    );
    // The image may go: this machine has a copy.
    images.drop_image(&key).await.unwrap();
    assert_eq!(lab.says(&second, "cat /opt/made").await, "made");

    // Nothing of the host shows in a container.
    let tools = lab.podman.dir.path().join("tools");
    fs::create_dir_all(tools.join("bin")).unwrap();
    fs::copy(root.join("usr/bin/busybox"), tools.join("bin/tool")).unwrap();
    for source in [Source::Path(tools.clone()), Source::Folders(vec![tools])] {
        let refused = images.resolve(&source).await.unwrap_err().to_string();
        assert!(refused.contains("cannot be shown in containers"), "{refused}");
    }
    lab.close(&[&project, &own, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_made_of_an_image_that_the_engine_has() {
    let Some(mut lab) = Lab::open().await else { return };
    let tarball = lab.tarball.to_string_lossy().into_owned();
    let change = ["--change", "ENV GREETING=hello", "--change", "ENV PATH=/bin:/opt/bin"];
    lab.podman.says(&[&["import"], change.as_slice(), &[&tarball, "localhost/own:1"]].concat());
    let image = OciImage::Name("localhost/own:1".to_owned());
    lab.oci = oci::open(config(&lab.podman, image)).await.unwrap();
    let (project, _) = lab.machine().await;
    let said = lab.says(&project, "echo $GREETING $PATH; cat /etc/passwd").await;
    assert_eq!(said, "hello /bin:/opt/bin:/usr/local/bin\nroot:x:0:0:root:/root:/bin/sh");
    lab.close(&[&project]).await;
}
