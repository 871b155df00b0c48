"""Every setting of the system, read from ``ICR_*`` in the environment once, at the start of a process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

TEMPLATE_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


class Settings(BaseSettings):
    """All ``ICR_*`` settings; each has a default that works for one machine."""

    model_config = SettingsConfigDict(env_prefix="ICR_", frozen=True, extra="ignore")

    home: Annotated[
        Path, Field(description="Folder in which one-machine mode keeps its database, queue and folders")
    ] = Path("var")
    broker_url: Annotated[
        str | None,
        Field(
            repr=False, description="redis:// or rediss:// (TLS) URL of the queue; empty: a private Redis under home"
        ),
    ] = None
    database_url: Annotated[
        str | None, Field(repr=False, description="SQLAlchemy URL of the database; empty: SQLite under home")
    ] = None
    job_key: Annotated[
        SecretStr | None,
        Field(min_length=16, description="Key that signs job messages; if set, unsigned messages are refused"),
    ] = None
    job_key_before: Annotated[
        SecretStr | None,
        Field(min_length=16, description="The job key until its last change; messages signed with it still run"),
    ] = None
    inbox: Annotated[Path | None, Field(description="The watched folder; empty: inbox under home")] = None
    scan_roots: Annotated[
        str,
        Field(
            description="Folders and s3://bucket/prefix under which jobs may name scans, split by ':'; the inbox is one"
        ),
    ] = ""
    templates: Annotated[
        Path | None,
        Field(description="Folder of your own form templates, beside the shipped ones; empty: templates under home"),
    ] = None
    duplicates: Annotated[
        Literal["skip", "link", "reprocess"], Field(description="What happens to a scan whose bytes were seen before")
    ] = "skip"
    blank_pages: Annotated[
        Literal["skip", "review"],
        Field(
            description="Whether a blank page of a scan with other pages, such as a back, is skipped or goes to review"
        ),
    ] = "skip"
    stable_s: Annotated[
        float, Field(gt=0, description="Seconds for which a file must be unchanged before it is taken")
    ] = 1.0
    incomplete_s: Annotated[
        float, Field(ge=0, description="How long a file that ends early, or is open in its writer, may stand still")
    ] = 60.0
    rescan_s: Annotated[
        float, Field(gt=0, description="Seconds between looks through the folder without any event")
    ] = 10.0
    concurrency: Annotated[int | None, Field(ge=1, description="Worker processes; empty: one for each core")] = None
    job_time_limit_s: Annotated[
        int, Field(ge=5, description="Seconds after which a job is stopped and counted as failed if no page of it ends")
    ] = 120
    visibility_timeout_s: Annotated[
        int, Field(ge=10, description="Seconds after which an unacknowledged message is delivered again")
    ] = 240
    max_deliveries: Annotated[
        int, Field(ge=1, description="A job that was started this often without an end is dead-lettered")
    ] = 3
    reconcile_s: Annotated[
        float, Field(gt=0, description="Seconds between searches for lost jobs, which are published again")
    ] = 30.0
    canary_s: Annotated[
        float, Field(gt=0, description="Seconds between canary jobs, by which each worker shows that it works")
    ] = 10.0
    shutdown_grace_s: Annotated[
        float, Field(gt=0, description="Seconds that a stopping worker has to finish the scan in hand")
    ] = 20.0
    inbox_in_flight: Annotated[
        int, Field(ge=1, description="Most scans of the folder that may wait in the queue at once")
    ] = 200
    job_memory_mb: Annotated[int, Field(ge=256, description="Most memory that reading one scan may take")] = 2048
    max_pages: Annotated[int, Field(ge=1, description="Most pages a scan may have")] = 200
    max_megapixels: Annotated[float, Field(gt=0, description="Most megapixels a page may have")] = 80.0
    max_file_mb: Annotated[float, Field(gt=0, description="Largest file that is opened")] = 100.0
    pdf_dpi: Annotated[
        int, Field(ge=72, le=1200, description="Resolution at which PDF pages are drawn that are not one picture")
    ] = 300
    page_timeout_s: Annotated[float, Field(gt=0, le=600, description="Most seconds for drawing one PDF page")] = 30.0
    max_substitution_rate: Annotated[
        float, Field(gt=0, lt=1, description="The promise: at most this share of accepted fields is wrong")
    ] = 0.005
    calibration: Annotated[
        Path | None,
        Field(description="A calibration of your own fields, written by icr calibrate; empty: the model's own"),
    ] = None
    audit_share: Annotated[
        float, Field(ge=0, le=1, description="Share of accepted fields that people key blind, drawn by chance; 0: none")
    ] = 0.01
    check_locale: Annotated[
        Literal["US", "IN", "CL", "EU"], Field(description="Country whose grammar bank checks are read by")
    ] = "US"
    check_months_back: Annotated[
        int, Field(ge=0, le=12000, description="How many months old the date of a check may be")
    ] = 12
    check_months_ahead: Annotated[
        int, Field(ge=0, le=12000, description="How many months ahead the date of a check may lie")
    ] = 1
    check_max_amount: Annotated[
        int | None,
        Field(ge=1, description="Largest amount of a check that needs no person, in minor units; empty: none"),
    ] = None
    beat_file: Annotated[
        Path | None,
        Field(
            description="File that a worker or a watcher touches at each beat, for probes that start no program of ours"
        ),
    ] = None
    metrics_port: Annotated[
        int | None,
        Field(ge=1, le=65535, description="Port of /metrics, /healthz and /readyz, also under icr up; empty: none"),
    ] = None
    metrics_host: Annotated[
        str, Field(description="Address that these listen on; anybody who reaches it may read them")
    ] = "127.0.0.1"
    serve_host: Annotated[
        str, Field(description="Address of the station and the HTTP API; beyond this machine, users must sign in")
    ] = "127.0.0.1"
    serve_port: Annotated[int, Field(ge=0, le=65535, description="Their port; 0: icr up does not serve them")] = 8017
    serve_certificate: Annotated[
        Path | None, Field(description="Certificate (PEM) with which they are served by https; empty: http")
    ] = None
    serve_key: Annotated[Path | None, Field(description="Key (PEM) of that certificate")] = None
    oidc_issuer: Annotated[
        str | None, Field(description="OpenID Connect provider by which people sign in, as its issuer; empty: none")
    ] = None
    oidc_client_id: Annotated[str | None, Field(description="Name under which the station is registered there")] = None
    oidc_client_secret: Annotated[
        SecretStr | None, Field(description="The secret that belongs to it; empty for a public client")
    ] = None
    oidc_scope: Annotated[str, Field(description="What is asked for there, split by spaces")] = "openid profile email"
    oidc_name_claim: Annotated[str, Field(description="Claim that holds the name of a user")] = "preferred_username"
    oidc_role_claim: Annotated[
        str, Field(description="Claim whose values give the role, or the path to it, as realm_access.roles")
    ] = "groups"
    oidc_roles: Annotated[
        str, Field(description="Which value gives which role, split by commas; whoever has none is not let in")
    ] = "icr-keyer=keyer,icr-supervisor=supervisor,icr-admin=admin"
    separators: Annotated[
        Literal["off", "ask", "trust"],
        Field(description="Whether separator sheets begin new documents: never, once a person agrees, or at once"),
    ] = "off"
    barcodes: Annotated[
        re.Pattern[str] | None,
        Field(
            description="Regular expression: a page with a barcode whose whole text it matches begins a document, with "
            "the text, or its first group, as reference; needs ICR_SEPARATORS",
        ),
    ] = None
    mail_host: Annotated[
        str | None, Field(description="IMAP server of the mailbox whose attachments are scans; empty: none is watched")
    ] = None
    mail_port: Annotated[int, Field(ge=1, le=65535, description="Its port")] = 993
    mail_security: Annotated[
        Literal["tls", "starttls", "none"],
        Field(description="How the connection is made safe; none is for a server on this machine only"),
    ] = "tls"
    mail_ca: Annotated[
        Path | None, Field(description="Certificates (PEM) that the server's must come from; empty: the system's")
    ] = None
    mail_user: Annotated[str | None, Field(description="User of the mailbox")] = None
    mail_password: Annotated[SecretStr | None, Field(description="Password of the mailbox")] = None
    mail_folder: Annotated[str, Field(min_length=1, description="Folder of the mailbox that is watched")] = "INBOX"
    mail_done: Annotated[
        str, Field(min_length=1, description="Folder that messages are moved to whose attachments were all taken")
    ] = "icr-done"
    mail_failed: Annotated[
        str, Field(min_length=1, description="Folder of those of which something was not taken, with the reason")
    ] = "icr-failed"
    mail_template: Annotated[
        str | None, Field(pattern=TEMPLATE_NAME, description="Form template of scans that come by mail; empty: any")
    ] = None
    mail_max_mb: Annotated[float, Field(gt=0, le=1000, description="Largest message that is fetched")] = 50.0
    mail_poll_s: Annotated[
        float, Field(ge=1, description="Seconds between looks into the mailbox if the server tells nothing by itself")
    ] = 60.0
    webhook_private: Annotated[
        bool, Field(description="Whether webhooks may go to private and loopback addresses, and by http")
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Lowest level that is logged")
    ] = "info"
    data_dir: Annotated[
        Path | None, Field(description="Folder of the handwriting sets, for training and evaluation only")
    ] = None
