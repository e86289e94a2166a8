-- What MySQL has after all migrations. A test writes it from a real server; see README.md.

CREATE TABLE `transactions` (
  `seq` bigint NOT NULL AUTO_INCREMENT,
  `id` binary(16) NOT NULL,
  `account` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `account_seq` bigint NOT NULL,
  `kind` enum('entrada','saida') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `amount` bigint NOT NULL,
  `scale` tinyint unsigned NOT NULL,
  `balance_after` bigint NOT NULL,
  `description` varchar(500) DEFAULT NULL,
  `metadata` json DEFAULT NULL,
  `occurred_at` datetime(6) NOT NULL,
  `accepted_at` datetime(6) NOT NULL,
  `recorded_at` datetime(6) NOT NULL,
  `client` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `content_hash` binary(32) NOT NULL,
  `reverses` binary(16) DEFAULT NULL,
  `topic_id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `partition` int NOT NULL,
  `offset` bigint NOT NULL,
  PRIMARY KEY (`seq`),
  UNIQUE KEY `id` (`id`),
  UNIQUE KEY `account_seq` (`account`,`currency`,`account_seq`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE `offsets` (
  `topic` varchar(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `partition` int NOT NULL,
  `cluster_id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `topic_id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `next_offset` bigint NOT NULL,
  PRIMARY KEY (`topic`,`partition`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE `quarantine` (
  `topic_id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `partition` int NOT NULL,
  `offset` bigint NOT NULL,
  `topic` varchar(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `id` binary(16) DEFAULT NULL,
  `reason` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `key` longblob,
  `value` longblob,
  `headers` longblob NOT NULL,
  `record_timestamp` bigint DEFAULT NULL,
  `recorded_at` datetime(6) NOT NULL,
  `forwarded_at` datetime(6) DEFAULT NULL,
  PRIMARY KEY (`topic_id`,`partition`,`offset`),
  KEY `id` (`id`),
  KEY `forwarded_at` (`forwarded_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE `owner` (
  `id` tinyint unsigned NOT NULL,
  `pipeline` varchar(317) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`id`),
  CONSTRAINT `owner_chk_1` CHECK ((`id` = 1))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE SQL SECURITY INVOKER VIEW `ledger` AS select
  `transactions`.`seq` AS `seq`,
  bin_to_uuid(`transactions`.`id`) AS `id`,
  `transactions`.`account` AS `account`,
  `transactions`.`account_seq` AS `account_seq`,
  `transactions`.`kind` AS `kind`,
  `transactions`.`currency` AS `currency`,
  cast((`transactions`.`amount` * (case `transactions`.`scale` when 0 then 1 when 1 then 0.1 when 2 then 0.01 when 3 then 0.001 when 4 then 0.0001 end)) as decimal(23,4)) AS `amount`,
  cast((`transactions`.`balance_after` * (case `transactions`.`scale` when 0 then 1 when 1 then 0.1 when 2 then 0.01 when 3 then 0.001 when 4 then 0.0001 end)) as decimal(23,4)) AS `balance_after`,
  `transactions`.`description` AS `description`,
  `transactions`.`metadata` AS `metadata`,
  `transactions`.`occurred_at` AS `occurred_at`,
  `transactions`.`accepted_at` AS `accepted_at`,
  `transactions`.`recorded_at` AS `recorded_at`,
  `transactions`.`client` AS `client`,
  bin_to_uuid(`transactions`.`reverses`) AS `reverses`
from `transactions`;
