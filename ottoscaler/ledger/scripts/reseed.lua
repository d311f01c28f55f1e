-- Write an event's ledger anew after Redis was emptied, from what its owner still knows:
-- A = id, owner, type, task, count, body, metadata, epoch, dedup_key or '', then pairs of index and state.
-- A ledger that was overwritten is replaced. The answer has the sentence that names it, or ''; then, if all workers had
-- ended, what is told of the event's end (prelude.lua).
local id, key, now = A[1], event_key(A[1]), now_ms()
local ended = 0
for i = 10, #A, 2 do
  if string.sub(A[i + 1], 1, 2) == 'd:' then ended = ended + 1 end
end
local overwritten = broken(key, 'hash')
local may_end = ended == tonumber(A[5]) or (not overwritten and redis.call('EXISTS', key) == 1)
local failure = broken(P .. 'events', 'set') or (may_end and untellable(RESULTS))
if failure then return failure end
local e = overwritten and {} or redis.call('HMGET', key, 'owner', 'epoch', 'status')
if e[1] == A[2] and e[2] == A[8] then return {'ok', '', unbegun} end -- a reply that was lost
if e[1] or e[3] then return {'exists'} end -- it ended here: a lost reply too
local told = {} -- results that an orphan's report has told meanwhile
local flat = overwritten and {} or redis.call('HGETALL', key)
if overwritten then redis.call('DEL', key) end
for i = 1, #flat, 2 do
  local index = string.match(flat[i], '^i:(.*)$')
  if index then told[index] = flat[i + 1] end
end
new_event(id, key, {type = A[3], task = A[4], count = A[5], owner = A[2], body = A[6], meta = A[7]}, now)
bear_dedup(id, key, A[9])
local counts = {succeeded = 0, failed = 0, cancelled = 0}
local done, begun = 0, 0
redis.call('HSET', key, 'epoch', A[8])
redis.pcall('ZREM', P .. 'finished', id)
for i = 10, #A, 2 do
  local raw = told[A[i]] or A[i + 1]
  redis.call('HSET', key, 'i:' .. A[i], raw)
  begun = begun + 1
  local status = string.match(raw, '^d:%d+:(%a+):')
  if status then
    counts[status] = counts[status] + 1
    done = done + 1
  end
end
redis.call('HSET', key, 'done', done, 'begun', begun, 'ok', counts.succeeded, 'bad', counts.failed,
  'cut', counts.cancelled)
if done == tonumber(A[5]) then note_ended(id, finish_event(id, key, now)) end
return {'ok', overwritten and overwritten.err or '', unbegun}
