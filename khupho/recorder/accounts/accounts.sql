-- People of this recorder and what they did. Truth, not a cache: nothing else knows it; back it up.
-- All moments are microseconds since the Unix epoch, UTC. One connection writes, in a thread of its own.
-- WAL, synchronous=FULL: what was answered is on the disk. No password, token or code is kept, only hashes.

CREATE TABLE accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice: the access log names it for ever
  name TEXT NOT NULL                      -- as it is shown: Unicode NFC
    CHECK (length(name) BETWEEN 1 AND 64),
  compared_name TEXT NOT NULL UNIQUE,     -- the name casefolded, NFC: no two may be alike. Stored, since SQLite
                                          -- folds ASCII only
  role TEXT NOT NULL                      -- roles.Role
    CHECK (role IN ('owner', 'viewer', 'maintainer')),
  cameras TEXT                            -- JSON list of cameras' ids that a viewer may see, sorted; NULL: all,
    CHECK (cameras IS NULL OR json_type(cameras) = 'array'), -- also those to come. Other roles don't ask it
  may_export INTEGER NOT NULL             -- 1: a viewer may take footage of these cameras away
    CHECK (may_export IN (0, 1)),
  is_disabled INTEGER NOT NULL DEFAULT 0  -- 1: cannot sign in
    CHECK (is_disabled IN (0, 1)),
  password TEXT                           -- Argon2id in the PHC string format; NULL until the person chose one
    CHECK (password IS NULL OR password LIKE '$argon2id$%'),
  user_handle BLOB NOT NULL UNIQUE        -- random: how authenticators know the account (WebAuthn section 5.4.3)
    CHECK (length(user_handle) = 32),
  created_utc_us INTEGER NOT NULL,        -- when it was made
  last_sign_in_utc_us INTEGER             -- NULL: never yet
) STRICT;

CREATE TABLE sessions (                   -- who is signed in
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice
  account INTEGER NOT NULL                -- whose; goes with it
    REFERENCES accounts ON DELETE CASCADE,
  token_sha256 BLOB NOT NULL UNIQUE       -- SHA-256 of the token's text
    CHECK (length(token_sha256) = 32),
  created_utc_us INTEGER NOT NULL,        -- of the sign-in; 30 days later it ends
  used_utc_us INTEGER NOT NULL,           -- last use, up to a minute behind; 12 h later it ends
  address TEXT NOT NULL                   -- from where it was signed in: IP address
    CHECK (length(address) <= 64),
  agent TEXT NOT NULL                     -- browser, as it names itself
    CHECK (length(agent) <= 200)
) STRICT;

CREATE INDEX sessions_by_account ON sessions (account);

CREATE TABLE passkeys (                   -- WebAuthn credentials
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- ours, for lists
  account INTEGER NOT NULL                -- whose; goes with it
    REFERENCES accounts ON DELETE CASCADE,
  credential_id BLOB NOT NULL UNIQUE      -- the authenticator's name for it
    CHECK (length(credential_id) BETWEEN 1 AND 1023),
  public_key BLOB NOT NULL,               -- COSE_Key (RFC 9052 section 7)
  sign_count INTEGER NOT NULL             -- signatures made, as last told; 0 where the authenticator doesn't count
    CHECK (sign_count >= 0),
  rp_id TEXT NOT NULL,                    -- host name under which it was made; it is good under no other
  label TEXT NOT NULL                     -- what the person calls it
    CHECK (length(label) BETWEEN 1 AND 64),
  created_utc_us INTEGER NOT NULL,        -- when it was added
  used_utc_us INTEGER                     -- last sign-in with it; NULL: never yet
) STRICT;

CREATE INDEX passkeys_by_account ON passkeys (account);

CREATE TABLE codes (                      -- one-time codes in links
  code_sha256 BLOB PRIMARY KEY            -- SHA-256 of the code's text
    CHECK (length(code_sha256) = 32),
  account INTEGER UNIQUE                  -- whose password may be chosen with it; NULL: the first owner's account
    REFERENCES accounts ON DELETE CASCADE, -- may be made
  expires_utc_us INTEGER NOT NULL         -- first moment at which it is good no more
) STRICT, WITHOUT ROWID;

CREATE TABLE access_log (                 -- append only; rows of accounts that are gone stay
  id INTEGER PRIMARY KEY,                 -- 1, 2, 3 … without a hole
  utc_us INTEGER NOT NULL,                -- when it was written, before the first byte left
  account INTEGER,                        -- accounts.id; NULL: nobody known. No reference: it outlives the account
  account_name TEXT NOT NULL,             -- the name at that time; empty: nobody known
  address TEXT NOT NULL                   -- from where: IP address
    CHECK (length(address) <= 64),
  agent TEXT NOT NULL                     -- browser, as it names itself
    CHECK (length(agent) <= 200),
  kind TEXT NOT NULL                      -- what; `end`: the view of row `begun` ended
    CHECK (kind IN ('live', 'playback', 'still', 'export', 'sign_in', 'refused', 'account', 'end')),
  camera TEXT NOT NULL,                   -- the camera's id; empty: none
  stream TEXT NOT NULL,                   -- main, sub or audio; empty: none
  start_utc_us INTEGER,                   -- span of the footage; NULL: none, as for live
  end_utc_us INTEGER
    CHECK (end_utc_us >= start_utc_us),
  detail TEXT NOT NULL                    -- in plain words
    CHECK (length(detail) <= 500),
  begun INTEGER                           -- the row whose view ended; NULL but for `end`
    REFERENCES access_log
    CHECK ((begun IS NOT NULL) = (kind = 'end') AND begun < id),
  before_sha256 BLOB NOT NULL             -- sha256 of the row before; 32 zero bytes in the first
    CHECK (length(before_sha256) = 32),
  sha256 BLOB NOT NULL                    -- of all columns above (access_log.row_sha256). Stored, so that a change
    CHECK (length(sha256) = 32)           -- shows at its own row, and in the last row too
) STRICT;

CREATE UNIQUE INDEX access_log_ends ON access_log (begun) WHERE begun IS NOT NULL;
CREATE INDEX access_log_by_camera ON access_log (camera, id);
CREATE INDEX access_log_by_account ON access_log (account_name, id);

CREATE TRIGGER access_log_keeps BEFORE UPDATE ON access_log
BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;

CREATE TRIGGER access_log_holds BEFORE DELETE ON access_log
BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;

-- REPLACE deletes without telling the trigger above.
CREATE TRIGGER access_log_grows BEFORE INSERT ON access_log
WHEN NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM access_log)
BEGIN SELECT RAISE(ABORT, 'the access log grows at its end only'); END;
