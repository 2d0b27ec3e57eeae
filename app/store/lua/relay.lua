-- Included by every script: the keys, and how a record is read.
--
-- KEYS[1] is "{relay}", the hash tag that makes every key below one slot; ARGV[1] is one JSON object.
--
--   {relay}:event:<event_id>  string: the record (below)
--   {relay}:due               zset: every event with a task left and no grant, by the instant from which it may
--                             be granted
--   {relay}:calling           zset: every event with a grant, by the instant at which its call must be over
--   {relay}:held              zset: every `unknown` event, by since when
--   {relay}:failed            zset: failed events, and opened ones with a failed task, by when their records end
--   {relay}:unreadable        zset: open events whose record a `take` could not read, by when one last met them
--   {relay}:bell              list: rings for idle workers
--   {relay}:taken:<token>     string: attempt and event id of a grant, empty once it was settled or released
--   {relay}:user:<user_id>    zset: the user's newest opened events by when
--   {relay}:chat:<chat_id>    string: the event id
--   {relay}:member_chats:<member_id>  zset: the member's newest opened events by when
--   {relay}:member:<member_id>  string: the user id that Channel.io has for a member, for ten minutes
--   {relay}:text:<event_id>   string: the text of the event's message, until it is sent or cannot be any more
--   {relay}:gate              hash: bucket, pauses, breaker, ways, probes
--   {relay}:workers           zset: worker processes by when they last took
--   {relay}:minute:<minute>   hash: how many events were accepted, opened, failed and held in a minute since the epoch
--   {relay}:confirmed         string: written where replicas are to confirm what is only read
--   {relay}:forgotten:<event_id>  string: the `accepted_ms` of a life that an operator removed, and the token of
--                             the command; hides the record of that life, for the window
--   {relay}:settled           pub/sub: ids of events that are complete or held
--
-- An event that is neither complete nor held is in exactly one of `due` and `calling`; in both after a script was stopped half-way, until
-- takers remove the stale entry. All instants are Redis TIME in ms.
--
-- The record is one JSON object. A field without a value is left out: never null, false or empty, since cjson
-- writes an empty array as {}. Numbers are whole and below 10^14, since cjson writes 14 digits. Fields that this
-- release does not define are kept. In every release `v` and `status` are what they are here.
--
--   v                   2; 3 where the event has a `member_id` or `tasks`, so that the release before, which knows
--                       neither, leaves it alone
--   status              accepted, calling, opened, failed or unknown
--   user_id             of Channel.io; not in a record with `member_id` until that is resolved
--   member_id           the caller's own id for the user, if the event came with one
--   fingerprint         of what was posted; not in a record that was recovered from a log
--   accepted_ms         when the event was accepted; it names the event's life, since an id is free again later
--   occurred_ms         if the event has it
--   ttl_ms              how long the record is kept once the event is complete
--   attempt             the fence: grows with each grant, and never falls
--   attempts            grants of the create, less those given back
--   on_unknown          hold or recreate, if the event has it
--   metadata            JSON text: no script looks into it
--   traceparent         of the request that brought the event, until the event is complete
--   grant_token         of the grant, while one is out, or `unknown` after that very grant
--   task                what the grant is for, while one is out: resolve, message or open; none: the create
--   look_from_ms        of the last grant for a message or an open: from when on a look shows what it did
--   bot_name            of the event, for its message and its open
--   tasks               object of `message` and `open`, those that were asked for, each an object:
--                         status       pending, done, failed or skipped
--                         id           of the message
--                         private      true: for the agents' eyes alone
--                         attempts     how often it was sent
--                         sends        sends without an answer since an operator last redrove it
--                         unanswered   sends without an answer, all of them
--                         look_only    true: the grant that is out permits no send
--                         refusal      failure of a refused send, until one more look
--                         failure      object, as of the record
--   is_mapped           true: the user id was kept from another event's resolve
--   is_resolved_again   true: Channel.io had no such user under a kept user id, once
--   unknowns            attempts that ended unknown, less those that were proved void since
--   consented           true: the automatic consent is used up
--   denied              object, while the event waits after a denial: the way, the way's successes at the last
--                       denial, how many were the event's own, times, since_ms
--   command_token       of the last operator's command
--   possible_orphan     true: a call was granted although an earlier one may have made a chat
--   deadline_from_ms    when an operator let the event's deadline begin anew
--   settled_ms          when the event was opened or failed
--   completed_ms        when nothing more was to be done, in a record of version 3
--   chat_id
--   chat                JSON text, and so are the next two: no script looks into them
--   session
--   user_session
--   duplicate_chat_ids  array: chats that were made besides
--   failure             object: code, detail, upstream_status
--   history             array of objects: at_ms, what, attempt; times, by, action, chat_id, token (of an attempt
--                       that ended unknown) where there are any

local VERSION, TASKS_VERSION = 2, 3
local STATUSES = {accepted = true, calling = true, opened = true, failed = true, unknown = true}
local MAX_CHATS_OF_USER = 100

local arg = cjson.decode(ARGV[1])

local function key(name) return KEYS[1] .. ':' .. name end
local function event_key(id) return key('event:' .. id) end

local DUE, CALLING, HELD, FAILED = key('due'), key('calling'), key('held'), key('failed')
local UNREADABLE, BELL, GATE, SETTLED = key('unreadable'), key('bell'), key('gate'), key('settled')
local WORKERS, CONFIRMED = key('workers'), key('confirmed')

-- Text that is no JSON object counts as a record of a version that this release cannot read.
local function parse_record(text)
  local is_object, record = string.sub(text, 1, 1) == '{', nil
  if is_object then is_object, record = pcall(cjson.decode, text) end
  return is_object and record or {}
end

-- → the record, and its text. A forgotten life has none. The third result is the life that was forgotten, if one
-- was.
local function read(id)
  local found = redis.call('MGET', event_key(id), key('forgotten:' .. id))
  local text, forgotten = found[1], tonumber(string.match(found[2] or '', '^%d+'))
  if not text then return nil, nil, forgotten end
  local record = parse_record(text)
  if forgotten and record.accepted_ms == forgotten then return nil, nil, forgotten end
  return record, text, forgotten
end

-- WAIT waits for the writes of its own connection, and confirms a script that only reads at once. This write
-- stands behind all that the script may have read. A removal first: a full Redis lets it pass, and what follows.
local function confirm()
  if not arg.confirm then return end
  redis.call('DEL', CONFIRMED)
  redis.call('SET', CONFIRMED, '1')
end

-- A record of a release that runs beside this one is left alone.
local function is_readable(record)
  return (record.v == VERSION or record.v == TASKS_VERSION) and STATUSES[record.status] == true
end
