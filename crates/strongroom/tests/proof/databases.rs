//! Databases in the same snapshot as the secrets that open them: captured, lost, restored, and compared by their own means.

use serde_json::{Value, json};
use testkit::{Kubernetes, KubernetesOptions, Postgres, RabbitMq, require};

use crate::scene::Scene;

const TABLES: &str = r#"
create table orders (id bigserial primary key, note text not null, raw bytea, at timestamptz default '2026-11-26');
insert into orders (note, raw) select 'é ' || n || E' \'"\\ \n', decode(md5(n::text), 'hex') from generate_series(1, 5000) n;
create index on orders (note);
create view newest as select * from orders order by id desc limit 10;
select lo_from_bytea(4711, decode(repeat('00ff0a0d', 50000), 'hex'));
grant select on orders to app;
"#;

/// What DataRobot keeps in a cluster and cannot do without, and the password of a database.
const SECRETS: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: datarobot}
---
apiVersion: v1
kind: Secret
metadata: {name: core-credentials, namespace: datarobot, labels: {app.kubernetes.io/instance: dr}}
stringData: {asymmetrickey: one, drsecurekey: other}
---
apiVersion: v1
kind: Secret
metadata: {name: core-postgres, namespace: datarobot, labels: {app.kubernetes.io/instance: dr}}
stringData: {password: opens-the-shop}
";

fn definitions() -> Value {
    json!({
        "vhosts": [{"name": "/"}, {"name": "shop"}],
        "users": [{
            "name": "app", "password_hash": "Arg9MM3SQJDbfKeAEMNN9csJ5QM/j9CljjdeZ7AUQ60s1XHr",
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["monitoring"], "limits": {},
        }],
        "permissions": [{"user": "app", "vhost": "shop", "configure": "^app", "write": ".*", "read": ".*"}],
        "exchanges": [{
            "name": "events", "vhost": "shop", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {},
        }],
        "queues": [{
            "name": "é orders", "vhost": "shop", "durable": true, "auto_delete": false, "arguments": {"x-max-length": 1000},
        }],
        "bindings": [{
            "source": "events", "vhost": "shop", "destination": "é orders", "destination_type": "queue", "routing_key": "order.#",
            "arguments": {},
        }],
        "policies": [{
            "vhost": "shop", "name": "keep", "pattern": ".*", "apply-to": "queues", "definition": {"message-ttl": 60000}, "priority": 0,
        }],
    })
}

/// A source in YAML's flow style; everything in its environment is said as it is, but for the password.
fn source(name: &str, run: &[&str], restore: &[&str], environment: &[(&str, String)]) -> String {
    let environment = environment
        .iter()
        .map(|(name, value)| (*name, json!(format!("plain:{value}"))));
    let mut environment: serde_json::Map<String, Value> = environment
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if name != "rabbitmq" {
        environment.insert("PGPASSWORD".to_owned(), json!("file:password"));
    }
    json!({"name": name, "command": {"run": run, "restore": restore, "environment": environment}})
        .to_string()
}

struct Databases {
    postgres: Postgres,
    rabbitmq: RabbitMq,
    cluster: Kubernetes,
    scene: Scene,
}

impl Databases {
    fn new() -> Option<Self> {
        let (postgres, rabbitmq) = (require("postgresql")?, require("rabbitmq")?);
        let databases = Self {
            postgres: Postgres::start(&postgres),
            rabbitmq: RabbitMq::start(&rabbitmq),
            cluster: Kubernetes::start(KubernetesOptions::default())?,
            scene: Scene::new(),
        };
        databases.fill();
        databases.configure();
        Some(databases)
    }

    fn fill(&self) {
        self.cluster.ctl_with(&["apply", "-f", "-"], SECRETS);
        self.postgres
            .sql("postgres", "create role app login password 'secret'");
        self.postgres
            .sql("postgres", "create database shop owner app");
        self.postgres.sql("shop", TABLES);
        self.scene
            .write("definitions.json", definitions().to_string());
        let file = self.scene.path("definitions.json");
        self.rabbitmq
            .ctl(&["import_definitions", file.to_str().expect("a plain name")]);
    }

    fn configure(&self) {
        let program = |name: &str| self.postgres.program(name).display().to_string();
        let (dump, dump_all) = (program("pg_dump"), program("pg_dumpall"));
        let (psql, restore) = (program("psql"), program("pg_restore"));
        let environment = self.postgres.environment();
        let roles = source(
            "roles",
            &[&dump_all, "--globals-only"],
            &[&psql, "--no-psqlrc", "--quiet", "--dbname=postgres"],
            &environment,
        );
        let shop = source(
            "shop",
            &[&dump, "--format=custom", "shop"],
            &[
                &restore,
                "--clean",
                "--if-exists",
                "--create",
                "--exit-on-error",
                "--dbname=postgres",
            ],
            &environment,
        );
        let ctl = self.rabbitmq.program("rabbitmqctl").display().to_string();
        let rabbitmq = source(
            "rabbitmq",
            &[&ctl, "-q", "export_definitions", "-"],
            &[&ctl, "-q", "import_definitions"],
            &self.rabbitmq.environment(),
        );
        self.scene.write("password", Postgres::PASSWORD);
        self.scene.configure(&format!(
            "  data: {{window: 5m, sources: [{{datarobot: {{kubeconfig: '{}', namespace: datarobot, driver: none}}}}, {roles}, {shop}, {rabbitmq}]}}\n",
            self.cluster.admin().display()
        ));
    }

    /// All that there is, as their own programs say it.
    fn all(&self) -> (String, Value, String) {
        let mut text = self.postgres.run("pg_dumpall", &["--globals-only"]);
        text += &self.postgres.run("pg_dump", &["shop"]);
        // A new word in every dump, so that nothing in it can end it.
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        let text = lines.collect::<Vec<&str>>().join("\n");
        let definitions = self.rabbitmq.ctl(&["export_definitions", "-"]);
        let mut definitions: Value = serde_json::from_str(&definitions).expect("it is JSON");
        for list in definitions.as_object_mut().expect("a map").values_mut() {
            if let Value::Array(list) = list {
                list.sort_by_key(ToString::to_string);
            }
        }
        let path = "jsonpath={range .items[*]}{.metadata.name} {.data}{end}";
        let secrets = ["get", "secrets", "-n", "datarobot", "-o", path];
        (text, definitions, self.cluster.ctl(&secrets))
    }
}

#[test]
fn databases_that_were_lost_come_back() {
    let Some(it) = Databases::new() else { return };
    let before = it.all();
    assert!(
        before.0.contains("é 4999") && before.0.contains("SCRAM-SHA-256$"),
        "{}",
        before.0
    );
    assert_eq!(before.1["queues"][0]["name"], "é orders");
    it.scene.run(&["backup"]).done();
    let shown = it.scene.read(&["show", "data", "--json"]).done().json();
    let time = |value: &Value, name: &str| value[name].as_str().expect("a time").to_owned();
    let (from, to) = (time(&shown, "started"), time(&shown, "finished"));
    let sources = shown["sources"].as_array().expect("a list");
    let names: Vec<&str> = sources
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert_eq!(names, ["datarobot", "roles", "shop", "rabbitmq"]);
    for source in sources {
        assert!(
            from <= time(source, "started") && time(source, "finished") <= to,
            "{shown}"
        );
    }

    it.cluster
        .ctl(&["delete", "secrets", "--all", "-n", "datarobot"]);
    it.postgres.sql("postgres", "drop database shop");
    it.postgres.sql("postgres", "drop role app");
    for word in ["stop_app", "reset", "start_app"] {
        it.rabbitmq.ctl(&[word]);
    }
    assert!(
        it.rabbitmq
            .ctl(&["list_vhosts", "--no-table-headers"])
            .trim()
            == "/"
    );
    // What is gone cannot be kept for an undo.
    let restore = ["restore", "data", "--yes"];
    it.scene.read(&restore).failed(
        1,
        &["nothing was restored: what would be overwritten could not be kept"],
    );
    it.scene
        .read(&[&restore[..], &["--no-undo"]].concat())
        .done();
    let after = it.all();
    assert_eq!(after.0, before.0);
    assert_eq!(after.1, before.1);
    assert!(after.2.contains("core-postgres"), "{}", after.2);
    assert_eq!(after.2, before.2);

    // Over what is there, and back.
    it.postgres
        .sql("shop", "update orders set note = 'spoiled'");
    it.scene
        .read(&[&restore[..], &["--source", "shop"]].concat())
        .done();
    assert_eq!(it.all().0, before.0);
    it.scene
        .read(&[
            "restore",
            "data.undo",
            "--source",
            "shop",
            "--yes",
            "--no-undo",
        ])
        .done();
    assert_eq!(
        it.postgres.sql("shop", "select distinct note from orders"),
        "spoiled\n"
    );

    // One that cannot be captured takes the whole snapshot with it.
    it.scene.write("password", "wrong-password");
    let refused = it
        .scene
        .run(&["backup"])
        .refused(1, &["password authentication failed"]);
    assert!(
        !refused.stderr.contains("wrong-password"),
        "{}",
        refused.stderr
    );
    assert_eq!(it.scene.snapshots(), ["data/1", "data.undo/1"]);
}
