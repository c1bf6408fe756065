-- The catalog: a cache of what lies in the segment files, the journal and the proof log, for quick answers.
-- It may be deleted at any time; `khupho archive rebuild`, or the recorder's next start, makes it anew with
-- the same answers. All moments are microseconds since the Unix epoch, UTC, on the footage clock.
-- One connection writes (the keeper's thread); readers open their own, read only. WAL, synchronous=NORMAL:
-- a power cut may take the last commits back, never tear one, and what they said is found again in the files.

CREATE TABLE catalog (                    -- exactly one row
  id INTEGER PRIMARY KEY CHECK (id = 1),  -- there is only one
  archive_id TEXT NOT NULL                -- the archive that this describes, as in archive.json (32 hex digits):
    CHECK (length(archive_id) = 32),      -- a catalog copied from elsewhere is not believed
  is_whole INTEGER NOT NULL               -- 0 while a rebuild has not seen every file yet
    CHECK (is_whole IN (0, 1)),
  journal_seq INTEGER NOT NULL            -- number of the last journal line taken in; 0 for none
    CHECK (journal_seq >= 0),
  journal_bytes INTEGER NOT NULL          -- where the line after it begins in journal.jsonl
    CHECK (journal_bytes >= 0),
  proof_leaves INTEGER NOT NULL           -- leaves that proof/leaves had at the last commit
    CHECK (proof_leaves >= 0)
) STRICT;

CREATE TABLE streams (                    -- from journal lines `stream`
  number INTEGER PRIMARY KEY              -- as in the records of proof/leaves
    CHECK (number BETWEEN 1 AND 65535),
  camera TEXT NOT NULL,                   -- the camera's id: the first directory of its paths
  stream TEXT NOT NULL,                   -- main, sub or audio: the second directory
  UNIQUE (camera, stream)
) STRICT;

CREATE TABLE segments (                   -- one row a file; no two of a stream overlap in time
  id INTEGER PRIMARY KEY,                 -- for `minutes`; says nothing, differs after a rebuild
  stream INTEGER NOT NULL REFERENCES streams, -- the stream's number
  path TEXT NOT NULL UNIQUE,              -- from the archive's root, with forward slashes
  start_utc_us INTEGER NOT NULL,          -- of the first picture's decoding, as in the segment facts
  end_utc_us INTEGER NOT NULL             -- of the last picture, as in the closing facts; for a segment
    CHECK (end_utc_us >= start_utc_us),   -- being written: as far as it was flushed
  size_bytes INTEGER NOT NULL             -- of the whole file; being written: as far as it was flushed
    CHECK (size_bytes >= 0),
  cause INTEGER                           -- why it ended (events.CloseCause); NULL while it is being written
    CHECK (cause BETWEEN 0 AND 255),
  fragments INTEGER NOT NULL CHECK (fragments >= 0), -- whole ones
  frames INTEGER NOT NULL CHECK (frames >= 0), -- access units, or frames of sound
  key_frames INTEGER NOT NULL CHECK (key_frames BETWEEN 0 AND frames), -- of them: decoding can begin there
  lost_packets INTEGER NOT NULL           -- RTP packets that never came
    CHECK (lost_packets >= 0),
  format TEXT NOT NULL,                   -- codec (RFC 6381) and picture size, or sound: to show and to filter
  flushed_bytes INTEGER NOT NULL          -- bytes from its start that are certainly on the disk and whose
    CHECK (flushed_bytes >= 0)            -- fragments have their leaf; recovery after a power cut begins here.
) STRICT;                                 -- Equal to size_bytes once closed

CREATE UNIQUE INDEX segments_by_time ON segments (stream, start_utc_us);
CREATE INDEX segments_being_written ON segments (stream) WHERE cause IS NULL;

CREATE TABLE minutes (                    -- the minute ledger: a fold over fragments (archive.catalog.minutes)
  segment INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, -- whose minute it is; goes with it
  minute INTEGER NOT NULL,                -- UTC minutes since the epoch. Two segments may share one: sum them
  covered_us INTEGER NOT NULL             -- of the minute, with picture
    CHECK (covered_us BETWEEN 0 AND 60000000),
  frames INTEGER NOT NULL CHECK (frames >= 0), -- of fragments that begin in it, as the next three
  key_frames INTEGER NOT NULL CHECK (key_frames >= 0), -- of these frames
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0), -- headers and data
  lost_packets INTEGER NOT NULL CHECK (lost_packets >= 0), -- RTP packets that never came
  damaged_us INTEGER NOT NULL             -- of what is covered: shown with faults, since a picture it needs was lost
    CHECK (damaged_us BETWEEN 0 AND covered_us),
  flags INTEGER NOT NULL,                 -- archive.catalog.minutes: clock wrong and so on
  PRIMARY KEY (segment, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (                      -- from journal lines `hold` and `release`
  id TEXT PRIMARY KEY,                    -- random, in hex; what `release` names
  camera TEXT NOT NULL,                   -- the camera's id
  stream TEXT NOT NULL,                   -- empty: all of the camera's
  start_utc_us INTEGER NOT NULL,          -- the first moment that is held
  end_utc_us INTEGER NOT NULL             -- the first moment that isn't held any more
    CHECK (end_utc_us > start_utc_us),
  reason TEXT NOT NULL,                   -- which incident, in the words of whoever holds it
  placed_utc_us INTEGER NOT NULL,         -- when it was asked for
  released_utc_us INTEGER                 -- NULL while it holds
) STRICT, WITHOUT ROWID;

CREATE TABLE deletions (                  -- from journal lines `deletion`; neighbours of one stream and reason
  stream INTEGER NOT NULL                 -- are one row, so that years of them stay few
    REFERENCES streams,
  start_utc_us INTEGER NOT NULL,          -- of the first segment
  end_utc_us INTEGER NOT NULL CHECK (end_utc_us >= start_utc_us), -- of the last one
  reason TEXT NOT NULL,                   -- retention.Reason: maximum, disk pressure, guarantee broken
  segments INTEGER NOT NULL CHECK (segments > 0), -- how many went
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0), -- of all of them
  deleted_utc_us INTEGER NOT NULL,        -- when the last of them went
  PRIMARY KEY (stream, start_utc_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE broken_guarantees (          -- from journal lines `guarantee_broken`
  journal_line INTEGER PRIMARY KEY,       -- its sequence number
  broken_utc_us INTEGER NOT NULL,         -- when it went
  camera TEXT NOT NULL,                   -- the camera's id
  guaranteed_days INTEGER NOT NULL CHECK (guaranteed_days >= 0), -- what was promised
  kept_us INTEGER NOT NULL                -- the age that this camera's footage still reached
    CHECK (kept_us >= 0),
  size_bytes INTEGER NOT NULL             -- guaranteed footage that went
    CHECK (size_bytes >= 0)
) STRICT;

CREATE TABLE gaps (                       -- from journal lines `gap`: kept when the footage around is deleted
  stream INTEGER NOT NULL REFERENCES streams, -- the stream's number
  start_utc_us INTEGER NOT NULL,          -- end of the segment before
  end_utc_us INTEGER NOT NULL             -- start of the segment after
    CHECK (end_utc_us > start_utc_us),
  cause TEXT NOT NULL,                    -- why, in one word: events.CloseCause of the segment before
  PRIMARY KEY (stream, start_utc_us)
) STRICT, WITHOUT ROWID;
