use clap::CommandFactory;

use super::*;

#[derive(Debug, Parser)]
struct Example {
    #[command(flatten)]
    run: RunSettings,
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

fn parse_flags(flags: &[&str], environment: &[&str]) -> Result<Example, clap::Error> {
    let needed = ["example", "--kafka-bootstrap-servers=b:9092", "--database-url=mysql://u:sesame@h/d"];
    parse_from(needed.iter().chain(flags).map(OsString::from), environment.iter().map(OsString::from))
}

#[test]
fn the_defaults_are_good() {
    let settings = parse_flags(&[], &[]).unwrap();
    assert_eq!(settings.run.shutdown_grace, Duration::from_secs(20));
    assert_eq!(settings.kafka.kafka_topic, "transactions");
    assert_eq!(settings.kafka.connection().unwrap()[1], ("security.protocol", "plaintext".into()));
}

#[test]
fn a_bad_value_is_told_with_its_variable() {
    for (flag, variable) in [
        ("--shutdown-grace=soon", "FLUXO_SHUTDOWN_GRACE"),
        ("--admin-listen=nowhere", "FLUXO_ADMIN_LISTEN"),
        ("--kafka-security-protocol=tls", "FLUXO_KAFKA_SECURITY_PROTOCOL"),
        ("--database-max-connections=0", "FLUXO_DATABASE_MAX_CONNECTIONS"),
        ("--database-owner=payments", "FLUXO_DATABASE_OWNER"),
        ("--database-owner=bank/pay'ments", "FLUXO_DATABASE_OWNER"),
    ] {
        let error = parse_flags(&[flag], &[]).unwrap_err().to_string();
        assert!(error.contains(variable), "{error}");
    }
}

#[test]
fn a_variable_that_looks_like_a_setting_and_is_none_is_told() {
    let error = parse_flags(&[], &["FLUXO_KAFKA_BOOTSTRAP_SERVER"]).unwrap_err().to_string();
    assert!(error.contains("FLUXO_KAFKA_BOOTSTRAP_SERVER is not a setting"), "{error}");
    assert!(error.contains("FLUXO_KAFKA_BOOTSTRAP_SERVERS"), "{error}");
}

#[test]
fn variables_of_other_binaries_and_of_kubernetes_are_let_be() {
    let others = [
        "FLUXO_TEST_KAFKA",
        "FLUXO_API_LISTEN",
        "FLUXO_KAFKA_SERVICE_HOST",
        "FLUXO_KAFKA_PORT_9092_TCP_ADDR",
    ];
    assert!(parse_flags(&[], &others).is_ok());
}

#[test]
fn sasl_needs_a_user_and_says_so() {
    let settings = parse_flags(&["--kafka-security-protocol=sasl-ssl"], &[]).unwrap();
    let error = settings.kafka.connection().unwrap_err().to_string();
    assert!(error.contains("FLUXO_KAFKA_USERNAME"), "{error}");
}

#[test]
fn a_password_is_read_from_its_file_without_the_line_break() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open sesame\n").unwrap();
    let flag = format!("--database-password-file={}", file.path().display());
    let password = parse_flags(&[&flag], &[]).unwrap().database.password().unwrap().unwrap();
    assert_eq!(password.expose_secret(), "open sesame");
}

#[test]
fn secrets_are_not_printed() {
    let settings = parse_flags(&["--kafka-password=sesame", "--database-password=sesame"], &[]).unwrap();
    assert!(!format!("{settings:?}").contains("sesame"));
}

#[test]
fn the_command_is_well_formed() {
    Example::command().debug_assert();
}
