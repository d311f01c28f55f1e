-- Renew the lease and survey the others: A = consumer, incarnation, info, survey ('1' or '0'), then for the status
-- page recent, sights and details ('' leaves what stands, '-' takes it away), the owners whose Pods it watches, and
-- with a survey each key below our prefix with its type ('name=type', with spaces between).
-- A heartbeat needs no key but its own. A survey leaves out what is broken, and ends with up to MOST_BROKEN broken
-- keys: of each its name, its type, and what it should be. The answer's word is then 'surveyed', not 'ok'.
local MOST_BROKEN = 16
local mine = P .. 'replica:' .. A[1]
local unusable = broken(mine, 'hash')
if unusable then return {'forgotten', unusable.err} end -- it is written anew (register.lua)
local standing = redis.call('HGET', mine, 'incarnation')
-- 'forgotten' means that others took us for dead, or that Redis was emptied, and that no other replica has our name.
if not standing then return {'forgotten', ''} end
if standing ~= A[2] then return {'lost'} end
redis.call('HSET', mine, 'info', A[3], 'seen', now_ms(), 'watches', A[8])
for i, name in ipairs({'recent', 'sights', 'details'}) do
  local told = A[4 + i]
  if told == '-' then redis.call('HDEL', mine, name)
  elseif told ~= '' then redis.call('HSET', mine, name, told) end
end
if A[5] ~= '' then redis.call('HSET', mine, 'recent-at', now_ms()) end
local beat = next_beat(mine)
local offers = intact('SRANDMEMBER', P .. 'offers', 64) or {}
local held = (paused() and '1' or '0') .. redis.call('EXISTS', P .. 'viewed')
redis.pcall('SADD', P .. 'replicas', A[1]) -- it may have been removed since we registered
local registered = intact('SCARD', P .. 'replicas') or 2 -- if it is broken, there may be others

-- Others' entries that nobody has taken STRANDED_MS after they were handed out: their reader is frozen or dying. Only young
-- ones, as each heartbeat looks; the rest come with their reader's silence (claim_pending.lua).
local STRANDED_MS, YOUNG_MS, PAGE, PAGES = 2000, 30000, 100, 20
local function stranded()
  local ids, from = {}, string.format('%.0f', now_ms() - YOUNG_MS)
  for _ = 1, PAGES do
    local pending = redis.pcall('XPENDING', STREAM, GROUP, 'IDLE', STRANDED_MS, from, '+', PAGE)
    if pending.err then break end
    for _, entry in ipairs(pending) do
      from = '(' .. entry[1]
      if entry[2] ~= A[1] and redis.call('EXISTS', event_key(entry[1])) == 0 then ids[#ids + 1] = entry[1] end
    end
    if #pending < PAGE then break end
  end
  return ids
end

local waiting = registered > 1 and stranded() or {}
if A[4] ~= '1' then return {'ok', tostring(beat), offers, held, registered, waiting} end
local damage = {}
local function look(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind ~= wanted and kind ~= 'none' and #damage < MOST_BROKEN then damage[#damage + 1] = {key, kind, wanted} end
end
for _, key in ipairs({STREAM, RESULTS, DEAD}) do look(key, 'stream') end
for name, kind in string.gmatch(A[9], '(%S+)=(%S+)') do look(P .. name, kind) end

local names, consumers, replicas, owners, order = {}, {}, {}, {}, {}
local known = redis.pcall('XINFO', 'CONSUMERS', STREAM, GROUP)
if not known.err then
  for _, flat in ipairs(known) do
    local c = fields_of(flat)
    consumers[#consumers + 1] = {c.name, tostring(c.pending)}
    names[#names + 1] = c.name
  end
end
for _, consumer in ipairs(intact('SMEMBERS', P .. 'replicas') or names) do
  local r = intact('HMGET', P .. 'replica:' .. consumer, 'incarnation', 'beat', 'lease')
  if not r then look(P .. 'replica:' .. consumer, 'hash') end
  r = r or {}
  replicas[#replicas + 1] = {consumer, r[1] or '', r[2] or '', told_lease(r[3])}
end
for _, id in ipairs(intact('SMEMBERS', P .. 'events') or {}) do
  local owner = intact('HGET', event_key(id), 'owner')
  if owner == nil then look(event_key(id), 'hash') end
  if owner and not owners[owner] then
    owners[owner] = true
    order[#order + 1] = owner
  end
end
return {'surveyed', tostring(beat), offers, held, registered, waiting, replicas, order, consumers, damage}
