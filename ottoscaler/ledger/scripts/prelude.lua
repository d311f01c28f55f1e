-- This text is put before every script. Redis rolls nothing back, so each script checks types, ownership and
-- arguments before its first write. That first write must be one that a Redis without free memory refuses (HSET,
-- XADD, SADD, SET), so that the script fails before it has changed anything.
local P, STREAM, RESULTS, DEAD = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local GROUP, INSTALLATION, RESULTS_MAXLEN = ARGV[1], ARGV[2], ARGV[3]
local MOST_BYTES = {[RESULTS] = tonumber(ARGV[4]), [DEAD] = tonumber(ARGV[5])}
local NAMESPACE = ARGV[6] -- where this replica creates Pods
local RETENTION_MS = ARGV[7]
local A = {}
for i = 8, #ARGV do A[i - 7] = ARGV[i] end

local function paused() return redis.call('EXISTS', P .. 'paused') == 1 end

-- No script of a replica goes on where Redis was emptied since it registered. INSTALLATION is '' for a command line.
if INSTALLATION ~= '' and redis.call('GET', P .. 'installation') ~= INSTALLATION then return {'wiped'} end

-- Anybody may overwrite one of our keys with a value of another type. That must cost only what needs the key. So a
-- script refuses before its first write where it needs a key that is broken, and goes on without a key that it does
-- not need. beat.lua tells of the broken keys.
local function broken(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind == wanted or kind == 'none' then return nil end
  return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted .. '; nothing was written')
end

-- Why nothing can be told in an outgoing stream, or nil. An ACL without one of the commands would end the script
-- between two writes, and the next try would take the result for told. So each is tried first, on a key that is not
-- there, in a form that writes nothing.
local function untellable(key)
  local failure, none = broken(key, 'stream'), P .. 'none'
  if failure then return failure end
  for _, command in ipairs({{'XADD', none, 'NOMKSTREAM', '*', 'x', ''}, {'HDEL', none, 'x'}, {'DEL', none},
    {'ZADD', none, 'XX', '0', 'x'}}) do
    local answer = redis.pcall(unpack(command))
    if type(answer) == 'table' and answer.err then return answer end
  end
  -- These two have no form that writes nothing. Redis 6.2 cannot be asked.
  for _, command in ipairs({{'HSET', none, 'x', ''}, {'HINCRBY', none, 'x', '1'}}) do
    if redis.acl_check_cmd and not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM this user has no permissions to run ' .. command[1] .. '; nothing was written')
    end
  end
  return nil
end

-- What a key holds, or nil where it is broken.
local function intact(...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then return nil end
  return found
end

-- A table of what Redis tells as a flat list of names and values.
local function fields_of(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

-- The lease that a replica's heartbeat tells, in seconds. '0' where somebody has written something else there.
local function told_lease(raw)
  raw = raw or ''
  return string.match(raw, '^%d%d?%d?%d?$') or string.match(raw, '^%d%d?%d?%d?%.%d+$') or '0'
end

-- A whole number as a script writes it; nil for anything else, which must not end the script, nor be told.
local function whole(raw) return string.match(raw or '', '^%-?%d+$') and #raw <= 16 and tonumber(raw) or nil end

local function count_at(key, name) return whole(redis.call('HGET', key, name)) or 0 end

-- The next heartbeat. A counter that somebody has overwritten begins anew, and so has moved.
local function next_beat(key)
  local beat = redis.pcall('HINCRBY', key, 'beat', 1)
  if type(beat) == 'number' then return beat end
  redis.call('HDEL', key, 'beat')
  return redis.call('HINCRBY', key, 'beat', 1)
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Stream ids are two unsigned 64-bit numbers; a Lua number holds 53 bits, so they are compared as text.
local function compare_digits(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  if a == b then return 0 end
  return a < b and -1 or 1
end

-- What is no id counts as the first one, 0-0, which no entry has.
local LARGEST = '18446744073709551615'

local function split_id(id)
  local ms, seq = string.match(id or '', '^(%d+)%-(%d+)$')
  if not ms or compare_digits(ms, LARGEST) > 0 or compare_digits(seq, LARGEST) > 0 then return '0', '0' end
  return ms, seq
end

local function id_of(raw) return table.concat({split_id(raw)}, '-') end

local function compare_ids(a, b)
  local a_ms, a_seq = split_id(a)
  local b_ms, b_seq = split_id(b)
  local by_ms = compare_digits(a_ms, b_ms)
  if by_ms ~= 0 then return by_ms end
  return compare_digits(a_seq, b_seq)
end

local function event_key(id) return P .. 'event:' .. id end

local function acknowledge(id) return redis.pcall('XACK', STREAM, GROUP, id) end

-- A broken mark counts as none. It is written anew as soon as something has ended (expire.lua).
local function low_water() return id_of(intact('GET', P .. 'low-water')) end

-- The last id that this group was handed; nil where there is no group.
local function last_delivered()
  for _, flat in ipairs(redis.pcall('XINFO', 'GROUPS', STREAM)) do -- an error has no items
    local g = fields_of(flat)
    if g.name == GROUP then return g['last-delivered-id'] end
  end
  return nil
end

-- Whether an event without a ledger has ended: it is at or below the mark, or it expired above the mark. An expired
-- event's entry left the stream in the same step, and it is in no pending list.
local function is_over(id)
  if compare_ids(id, low_water()) <= 0 then return true end
  local expired = intact('GET', P .. 'expired')
  if not expired or compare_ids(id, expired) > 0 then return false end
  local pending = redis.pcall('XPENDING', STREAM, GROUP, id, id, 1)
  if not pending.err and #pending > 0 then return false end
  return #redis.call('XRANGE', STREAM, id, id) == 0
end

-- An owner is 'consumer/incarnation'; a consumer's name may hold slashes, an incarnation never.
local function split_owner(owner)
  local consumer, incarnation = string.match(owner or '', '^(.*)/([^/]*)$')
  return consumer or '', incarnation or ''
end

-- Remember who owned an event, up to MOST_BEFORE: any of them may have created Pods of it. '*': more, or ones whose
-- Pods have no owner's label. An event without the field is of a version that did not set that label.
local MOST_BEFORE = 64

local function note_before(key, owner)
  local before = redis.call('HGET', key, 'before')
  local _, incarnation = split_owner(owner)
  if incarnation == '' or not before or before == '*' then return end
  if string.find(' ' .. before .. ' ', ' ' .. incarnation .. ' ', 1, true) then return end
  local _, others = string.gsub(before, '%S+', '')
  before = others < MOST_BEFORE and (before == '' and incarnation or before .. ' ' .. incarnation) or '*'
  redis.call('HSET', key, 'before', before)
end

-- 'ok', or why this replica may not write. A ledger that was overwritten is missing: its owner writes it anew.
local function ownership(key, owner, epoch)
  local e = intact('HMGET', key, 'state', 'owner', 'epoch')
  if not e or not e[1] then return 'missing' end
  if e[1] ~= 'open' then return 'finished' end
  if e[2] ~= owner or e[3] ~= epoch then return 'fenced' end
  return 'ok'
end

-- The key of the event that a script's A begins with: id, owner, epoch. Else nil, and the answer that says why this
-- replica may not write.
local function own_event()
  local key = event_key(A[1])
  local may = ownership(key, A[2], A[3])
  if may ~= 'ok' then return nil, {may} end
  return key
end

-- An index's state: nil (never begun), 's:attempt:uid' (begun), 'w:attempt:due:node' (waits to be tried
-- again as that attempt), 'd:attempt:status:uid' (its result stands).
local function index_state(key, index)
  local raw = redis.call('HGET', key, 'i:' .. index)
  if not raw then return nil end
  local kind, attempt, rest = string.match(raw, '^(%a):(%d+):(.*)$')
  return {kind = kind, attempt = attempt, rest = rest}
end

-- Since when an attempt is to end for its time limit ('t:index' is 'attempt:ms'); nil where it is not.
local function overtime_since(key, index, attempt)
  local marked, since = string.match(redis.call('HGET', key, 't:' .. index) or '', '^(%d+):(%d+)$')
  return marked == attempt and whole(since) or nil
end

-- The answer where an attempt is to end, by an intent to cancel it or for its time limit; else nil.
local function intended(key, index, attempt)
  local intent = redis.call('HGET', key, 'c:' .. index)
  if intent then return {'cancelling', intent} end
  if overtime_since(key, index, attempt) then return {'overtime'} end
  return nil
end

-- Remember the namespace of a beginning attempt's Pod: once for the event, and for an index only if it differs.
local function note_namespace(key, index)
  if redis.call('HSETNX', key, 'ns', NAMESPACE) == 1 then return end
  if redis.call('HGET', key, 'ns') == NAMESPACE then redis.call('HDEL', key, 'ns:' .. index)
  else redis.call('HSET', key, 'ns:' .. index, NAMESPACE) end
end

-- The two outgoing streams are bounded in bytes. All that was ever appended is counted, in bytes and in entries. The
-- counts are noted each time the stream has grown by 1/STEPS of the bound. The oldest entries are trimmed up to the
-- first noted place that leaves less than the bound. So no entry is read to find its size, and none is searched for.
local STEPS, LEAST_DEAD, OVERHEAD = 32, 100, 8
local ALLOCATED = 1.25 -- what Redis allocates for a byte at most: its allocator's sizes are a fifth apart

local function count_appended(key, entry)
  local bytes, most = 64, MOST_BYTES[key]
  for i = 1, #entry do bytes = bytes + #tostring(entry[i]) + OVERHEAD end
  bytes = math.ceil(bytes * ALLOCATED)
  local name = key == DEAD and 'dead' or 'results'
  local counts, places = P .. 'appended', P .. 'places:' .. name
  local all = redis.call('HINCRBY', counts, name .. ':bytes', bytes)
  local number = redis.call('HINCRBY', counts, name .. ':entries', 1)
  local last = redis.call('ZREVRANGE', places, 0, 0, 'WITHSCORES')[2]
  if last and all - tonumber(last) < most / STEPS then return end
  redis.call('ZADD', places, string.format('%.0f', all), string.format('%.0f', number))
  -- Another step's worth may come before the next look.
  local bound = string.format('%.0f', all - most * (STEPS - 2) / STEPS)
  local first = redis.call('ZRANGEBYSCORE', places, bound, '+inf', 'LIMIT', 0, 1)[1]
  redis.call('ZREMRANGEBYSCORE', places, '-inf', '(' .. bound)
  if not first or tonumber(bound) <= 0 then return end
  local keep = math.max(number - tonumber(first), key == DEAD and LEAST_DEAD or 1)
  local gone = redis.call('XTRIM', key, 'MAXLEN', '=', string.format('%.0f', keep))
  if gone > 0 then redis.call('HINCRBY', counts, name .. ':trimmed', gone) end
end

-- A stream whose bytes cannot be counted is still bounded (bound.lua). The entry stands, so an error of its count, where
-- somebody wrote nonsense, must not end the script: the next try would tell the same again.
local function count_if_intact(key, entry) pcall(count_appended, key, entry) end

local function append_dead(entry)
  redis.call('XADD', DEAD, '*', unpack(entry))
  count_if_intact(DEAD, entry)
end

local function append_result(...)
  redis.call('XADD', RESULTS, 'MAXLEN', '=', RESULTS_MAXLEN, '*', ...)
  count_if_intact(RESULTS, {...})
end

-- Metadata is written once, in the event's entry. It is in its workers' entries too if it is no larger than this.
local MOST_WORKER_METADATA = 2048

local function worker_metadata(metadata)
  if #metadata <= MOST_WORKER_METADATA then return metadata end
  return '{"ottoscaler.io/omitted":"' .. #metadata .. ' bytes; they are in the entry of the event"}'
end

local COUNTERS = {succeeded = 'ok', failed = 'bad', cancelled = 'cut'}

-- End an event. A short ledger stays, which says that it has ended, until the retention time is over.
local function close_ledger(id, key, kind, task, status, now)
  local told = redis.call('HMGET', key, 'taken', 'first', 'retries') -- for the status page
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'done', 'type', kind, 'task', task, 'status', status, 'ended', now)
  for i, name in ipairs({'taken', 'first', 'retries'}) do
    if told[i] then redis.call('HSET', key, name, told[i]) end
  end
  if not intact('ZADD', P .. 'finished', now, id) then redis.call('PEXPIRE', key, RETENTION_MS) end
  redis.pcall('SREM', P .. 'events', id)
  redis.pcall('SREM', P .. 'offers', id)
  redis.pcall('HDEL', P .. 'handed', id)
  acknowledge(id)
end

-- Milliseconds from XADD to the end. An id is a time if XADD chose it. If a producer chose it, it may be anything.
local function lasted(id, taken, now)
  local begun, by_id = taken, tonumber((split_id(id)))
  if by_id <= now and now - by_id < 31 * 86400000 then begun = by_id end
  return now - begun
end

-- Only one event has a dedup_key at a time: the first that was taken, for the retention time from then on.
local function dedup_name(dedup) return P .. 'dedup:' .. dedup end

local function bear_dedup(id, key, dedup)
  if dedup == '' then return end
  redis.call('HSET', key, 'dedup', dedup)
  redis.call('SET', dedup_name(dedup), id, 'PX', RETENTION_MS, 'NX')
end

-- A dead-lettered event gives its key up, so that it can be sent or replayed with the same key.
local function free_dedup(id, key)
  local dedup = redis.call('HGET', key, 'dedup')
  if dedup and intact('GET', dedup_name(dedup)) == id then redis.call('DEL', dedup_name(dedup)) end
end

-- Tell the event's end and close it. 'standing': how many of a scale_down's victims are counted by their intents.
-- Returns {status, ms, task, metadata}.
local function finish_event(id, key, now, standing)
  local e = redis.call('HMGET', key, 'type', 'task', 'n', 'ok', 'bad', 'cut', 'taken', 'meta', 'large-meta')
  local total, ok, bad, cut = tonumber(e[3]) or 0, tonumber(e[4]), tonumber(e[5]), tonumber(e[6]) + (standing or 0)
  local status = 'partial'
  if e[1] == 'scale_down' or ok == total then status = 'succeeded'
  elseif bad == total then status = 'failed'
  elseif cut == total then status = 'cancelled' end
  local took = lasted(id, tonumber(e[7]), now)
  append_result('kind', 'event', 'event_id', id, 'task_id', e[2], 'type', e[1], 'status', status,
    'pod_count', e[3], 'succeeded', ok, 'failed', bad, 'cancelled', cut, 'duration_ms', math.max(0, took),
    'metadata', e[9] or e[8] or '{}')
  close_ledger(id, key, e[1], e[2], status, now)
  return {status, took, e[2], e[8] or '{}'}
end

-- Tell an open scale_down how its victim ended. A victim that had ended by itself is not counted.
local function end_victim(intent, id, index, status)
  local down = event_key(string.match(intent, '^%d+:([^:]*):'))
  if (intact('HDEL', down, 'v:' .. id .. ':' .. index) or 0) == 0 then return end
  redis.call('HINCRBY', down, 'victims', -1)
  if status == 'cancelled' then redis.call('HINCRBY', down, 'cut', 1) end
end

-- Write one index's result; the caller has checked that it may. Returns what finish_event does where that ended the event.
-- The ledger says so only after it was told: where the stream takes no entry (somebody gave it the last id there is),
-- the worker stays as it was.
local function record(id, key, index, attempt, uid, r, now)
  local e = redis.call('HMGET', key, 'task', 'meta', 'c:' .. index)
  append_result('kind', 'worker', 'event_id', id, 'task_id', e[1], 'index', index, 'attempt', attempt,
    'pod', r.pod, 'node', r.node, 'status', r.status, 'reason', r.reason, 'exit_code', r.exit_code,
    'message', r.message, 'metadata', e[2], 'created_at', r.created_at, 'started_at', r.started_at,
    'finished_at', r.finished_at)
  redis.call('HSET', key, 'i:' .. index, 'd:' .. attempt .. ':' .. r.status .. ':' .. uid, 'progress', '1')
  redis.call('HINCRBY', key, COUNTERS[r.status], 1)
  redis.call('HDEL', key, 'c:' .. index, 't:' .. index)
  if e[3] then pcall(end_victim, e[3], id, index, r.status) end -- another event's ledger may hold nonsense
  local done = redis.call('HINCRBY', key, 'done', 1)
  -- A long event's first results are kept until the retention time after its end, not after theirs.
  if done == 1 then redis.pcall('ZADD', P .. 'results-from', now, id) end
  if done == tonumber(redis.call('HGET', key, 'n')) then return finish_event(id, key, now) end
  return nil
end

local function never_ran(reason, message, at)
  return {pod = '', node = '', status = 'cancelled', reason = reason, exit_code = '', message = message,
    created_at = '', started_at = '', finished_at = at}
end

-- What this script has ended without a Pod, for the metrics and the log: how many workers, then of each event that ended
-- so its id, status, milliseconds, task and metadata.
local unbegun = {0}

local function note_ended(id, ended)
  for _, word in ipairs({id, ended[1], string.format('%.0f', math.max(0, ended[2])), ended[3], ended[4]}) do
    unbegun[#unbegun + 1] = word
  end
end

local function count_unbegun(id, ended)
  unbegun[1] = unbegun[1] + 1
  if ended then note_ended(id, ended) end
end

-- Intend to cancel one index; the caller has checked that the event is an open scale_up.
-- Returns nil (nothing to cancel), or its begun attempt and Pod UID ('' where it ends right here). Where no result can
-- be told, the intent stands for workers that have not begun too: start.lua lets none of them begin.
local function cancel_index(id, key, index, by, why, at, now, untold)
  local state = index_state(key, index)
  if state and state.kind == 'd' then return nil end
  local begun = state and state.kind == 's'
  if redis.call('HEXISTS', key, 'c:' .. index) == 1 and (begun or untold) then return nil end
  if begun and overtime_since(key, index, state.attempt) then return nil end -- it ends anyway
  local attempt = state and state.attempt or '0'
  if begun or untold then
    redis.call('HSET', key, 'c:' .. index, now .. ':' .. by .. ':' .. why)
    return {attempt, begun and state.rest or '', false}
  end
  local ended = record(id, key, index, attempt, '', never_ran('Cancelled', why, at), now)
  count_unbegun(id, ended)
  return {attempt, '', ended or true}
end

-- Nothing more of a doomed event may begin, and 'doomed' says who wants it so and why. Its workers are cancelled in
-- batches, so that no script is long: the owner goes on until none is left ('more' says that some are).
local MOST_CANCELLED = 100

local function cancel_doomed(id, key, at, now)
  local e = redis.call('HMGET', key, 'doomed', 'doomed-from', 'n')
  if not e[1] then return nil, false end
  local by, why = string.match(e[1], '^(.-):(.*)$')
  local from, total = tonumber(e[2] or '0'), tonumber(e[3])
  local to = math.min(from + MOST_CANCELLED, total)
  local ended, count, down = nil, 0, event_key(by)
  for index = from, to - 1 do
    local cancelled = cancel_index(id, key, string.format('%.0f', index), by, why, at, now)
    if cancelled and cancelled[3] then count = count + 1 end
    if cancelled and type(cancelled[3]) == 'table' then ended = cancelled[3] break end -- that ended the event
  end
  local d = intact('HMGET', down, 'state', 'type') or {}
  if count > 0 and d[1] == 'open' and d[2] == 'scale_down' then redis.call('HINCRBY', down, 'cut', count) end
  if ended then return ended, false end
  if to >= total then
    redis.call('HDEL', key, 'doomed', 'doomed-from')
    return nil, false
  end
  redis.call('HSET', key, 'doomed-from', to)
  return nil, true
end

-- Count an entry that this group saw for the first time. lost.lua compares the count with what was added.
local function count_taken() redis.pcall('HINCRBY', P .. 'account', 'taken', 1) end

-- Dead-letter an entry that was delivered to this group, that nobody took, and whose fields cannot be read.
local function give_up_entry(id, error, at, now)
  append_dead({'event_id', id, 'task_id', id, 'error', error, 'at', at})
  count_taken()
  close_ledger(id, event_key(id), '', '', 'dead', now)
end

local function new_event(id, key, e, now, ...)
  redis.call('HSET', key, 'state', 'open', 'type', e.type, 'task', e.task, 'n', e.count, 'owner', e.owner,
    'epoch', '1', 'since', now, 'taken', now, 'strikes', '0', 'progress', '0', 'tried', '0', 'begun', '0', 'done', '0',
    'ok', '0', 'bad', '0', 'cut', '0', 'body', e.body, 'before', '', 'meta', worker_metadata(e.meta), ...)
  if #e.meta > MOST_WORKER_METADATA then redis.call('HSET', key, 'large-meta', e.meta) end
  redis.call('SADD', P .. 'events', id)
  redis.pcall('HDEL', P .. 'handed', id) -- its reader lives (next_pending.lua)
end

local function take_ownership(id, key, owner, now)
  note_before(key, redis.call('HGET', key, 'owner'))
  redis.call('HSET', key, 'owner', owner, 'since', now, 'progress', '0', 'tried', '0')
  local epoch = redis.call('HINCRBY', key, 'epoch', 1)
  redis.pcall('SREM', P .. 'offers', id)
  redis.pcall('XCLAIM', STREAM, GROUP, (split_owner(owner)), '0', id, 'JUSTID')
  return epoch
end
