-- Whether entries were removed from the stream before this group was handed them: A = time. docs/adr/0014 has
-- the reasoning. Returns how many are known to be lost since the last call, and the sentence by which they are
-- dead-lettered in the same step.
local failure = untellable(DEAD) or broken(P .. 'account', 'hash') or broken(P .. 'ahead', 'set')
if failure then return failure end
local stream, handed = redis.pcall('XINFO', 'STREAM', STREAM), last_delivered()
if stream.err or not handed then return {'ok', 0, ''} end
local s = fields_of(stream)

local ACCOUNT = P .. 'account'
for _, name in ipairs({'taken', 'missing', 'added', 'removed', 'own', 'lost'}) do
  if not whole(redis.call('HGET', ACCOUNT, name) or '0') then -- all is counted anew
    redis.call('DEL', ACCOUNT)
    return {'ok', 0, ''}
  end
end
local last, first = s['last-generated-id'], s['first-entry'] and s['first-entry'][1]
local newest = s['last-entry'] and s['last-entry'][1]
local caught_up = not newest or compare_ids(newest, handed) <= 0

-- They came after the last one that had been handed out at the last count: what is handed out is taken, or told by its
-- own id. And before the first one that is still there, or up to the last that was ever added, which may be lost too.
local function tell(least, lost, after, upto)
  local number = string.format('%.0f', lost)
  local sentence = least .. number .. (lost == 1 and ' entry' or ' entries') .. ' between ' .. after .. ' and ' ..
    upto .. (lost == 1 and ' was removed from the stream before it was read' or
    ' were removed from the stream before they were read')
  if after ~= '0-0' then sentence = sentence .. '; ' .. after .. ' itself had been handed out' end
  append_dead({'event_id', '', 'task_id', '', 'error', sentence, 'at', A[1]})
  redis.call('HINCRBY', ACCOUNT, 'lost', number)
  return {'ok', lost, sentence}
end

-- Before 7.0 Redis does not count what is added. What is known to be lost is the oldest unread entry of the last call,
-- where it has gone since and was never handed out, and the newest that was added, where nothing unread is there.
if not s['entries-added'] then
  local oldest = ''
  if not caught_up then
    oldest = first
    if compare_ids(first, handed) <= 0 then
      oldest = redis.call('XRANGE', STREAM, '(' .. handed, '+', 'COUNT', 1)[1][1]
    end
  end
  local a = redis.call('HMGET', ACCOUNT, 'unread', 'last', 'handed')
  local known, lost = {}, 0
  if a[2] and compare_ids(last, a[2]) >= 0 then -- else the stream is another one
    if a[1] ~= '' then known[a[1]] = true end
    if caught_up and last ~= a[2] then known[last] = true end
  end
  for id in pairs(known) do
    if compare_ids(id, handed) > 0 and not is_over(id) and redis.call('EXISTS', event_key(id)) == 0
      and #redis.call('XRANGE', STREAM, id, id) == 0 then lost = lost + 1 end
  end
  redis.call('HSET', ACCOUNT, 'unread', oldest, 'last', last, 'handed', handed)
  if lost == 0 then return {'ok', 0, ''} end
  return tell('at least ', lost, a[3], caught_up and last or oldest)
end

-- How many entries are unread is known where all were handed out, and where all that were handed out have gone.
if not caught_up and first and compare_ids(first, handed) <= 0 then return {'ok', 0, ''} end
local unread = caught_up and 0 or s.length

-- What was handed out and has no ledger yet is on its way, and not counted as taken.
local on_its_way, from, PAGE, PAGES = 0, '-', 100, 20
for page = 1, PAGES do
  local pending = redis.call('XPENDING', STREAM, GROUP, from, '+', PAGE)
  for _, entry in ipairs(pending) do
    from = '(' .. entry[1]
    if redis.call('EXISTS', event_key(entry[1])) == 0 then on_its_way = on_its_way + 1 end
  end
  if #pending < PAGE then break end
  if page == PAGES then return {'ok', 0, ''} end
end

-- A scale_down that was applied ahead of its turn is counted as taken, and is still unread.
local ahead = 0
for _, id in ipairs(redis.call('SMEMBERS', P .. 'ahead')) do
  if compare_ids(id, handed) <= 0 then redis.call('SREM', P .. 'ahead', id)
  elseif #redis.call('XRANGE', STREAM, id, id) == 1 then ahead = ahead + 1 end
end

local a = redis.call('HMGET', ACCOUNT, 'taken', 'missing', 'added', 'removed', 'own', 'handed')
local added, missing = s['entries-added'], tonumber(a[2] or '')
local now_missing = added - tonumber(a[1] or '0') - unread - on_its_way + ahead
local removed = added - s.length - tonumber(a[5] or '0') -- by others than our own housekeeping
local lost = 0
if missing and added >= tonumber(a[3]) then
  -- No more than others have removed: what a stranger acknowledged in this group's name is not lost.
  if now_missing > missing then lost = math.max(0, math.min(now_missing - missing, removed - tonumber(a[4]))) end
  if now_missing < missing and not caught_up then now_missing = missing end -- a group made anew reads again
elseif not caught_up then
  return {'ok', 0, ''} -- nothing to compare with yet
end
redis.call('HSET', ACCOUNT, 'missing', string.format('%.0f', now_missing), 'added', string.format('%.0f', added),
  'removed', string.format('%.0f', removed), 'handed', handed)
if lost == 0 then return {'ok', 0, ''} end
return tell('', lost, a[6] or '0-0', caught_up and last or first or last)
