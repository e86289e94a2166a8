//! The operator of Fluxo: keeps what a `TransactionPipeline` describes true.
