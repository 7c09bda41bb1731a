//! temp
use toft_machine::{backend::{Backend as _, StartSpec}, init_client::{self, ExecEvent}, native::{self, NativeConfig}};
use toft_model::{id::ProjectId, init::ExecSpec, machine::Limits};
#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let own = tempfile::tempdir().unwrap();
    let native = native::open(NativeConfig { data_dir: own.path().join("data"), exe: args[1].clone().into() }).await.unwrap();
    let project = ProjectId::random();
    native.create(&project).await.unwrap();
    native.start(StartSpec { project: project.clone(), name: "try".into(), limits: Limits::default(), app_url: String::new(), env: vec![] }).await.unwrap();
    for command in &args[2..] {
        println!("$ {command}");
        let stream = native.connect_init(&project).await.unwrap();
        let mut h = init_client::exec(stream, ExecSpec { argv: vec!["/bin/bash".into(), "-lc".into(), command.clone()], ..Default::default() }).await.unwrap();
        while let Some(e) = h.next().await.unwrap() {
            match e { ExecEvent::Stdout(b) | ExecEvent::Stderr(b) => print!("{}", String::from_utf8_lossy(&b)), ExecEvent::Exit(x) => println!("-> {:?}", x.code), _ => {} }
        }
    }
    native.destroy(&project).await.unwrap();
    native.close().await.unwrap();
}
