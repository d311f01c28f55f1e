-- Raise the low-water mark, then let go of what is out of its time: A = retention in ms, batch, how many of the
-- oldest finished events to pass over, as an earlier call has looked at them and they had to stay.
-- Returns the mark, how many finished events were looked at, how many of them stay, and how many ledgers and
-- entries went.
local failure = broken(STREAM, 'stream') or broken(P .. 'events', 'set')
if failure then return failure end
local retention, batch, now = tonumber(A[1]), tonumber(A[2]), now_ms()
-- A full Redis refuses a script's first write unless that write frees memory. Later writes may do anything.
-- This script frees memory, so it begins with a delete.
redis.call('DEL', P .. 'nothing')

-- The id right before another one; nil where the arithmetic would not fit a Lua number.
local function before(id)
  local ms, seq = split_id(id)
  if seq ~= '0' then
    if #seq > 15 then return nil end
    return ms .. '-' .. string.format('%.0f', tonumber(seq) - 1)
  end
  if ms == '0' or #ms > 15 then return nil end
  return string.format('%.0f', tonumber(ms) - 1) .. '-18446744073709551615'
end

-- What a group may still need: everything above the returned id.
local function finished_up_to(name, last_delivered)
  local pending = redis.call('XPENDING', STREAM, name)
  if pending[1] > 0 then
    local below = before(pending[2])
    if not below then return '0-0' end
    if compare_ids(below, last_delivered) < 0 then return below end
  end
  return last_delivered
end

local low, keep, handed, others = low_water(), nil, nil, {}
local groups = redis.pcall('XINFO', 'GROUPS', STREAM)
if not groups.err then
  for _, flat in ipairs(groups) do
    local g = fields_of(flat)
    local bound = finished_up_to(g.name, g['last-delivered-id'])
    if not keep or compare_ids(bound, keep) < 0 then keep = bound end
    if g.name == GROUP then
      handed = g['last-delivered-id']
      for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
        local below = before(id) or '0-0'
        if id_of(id) ~= '0-0' and compare_ids(below, bound) < 0 then bound = below end
      end
      if compare_ids(bound, low) > 0 then
        low = bound
        redis.call('SET', P .. 'low-water', low)
      end
    else
      others[#others + 1] = {name = g.name, last = g['last-delivered-id']}
    end
  end
end

local function needed_elsewhere(id)
  for _, other in ipairs(others) do
    if compare_ids(id, other.last) > 0 then return true end
    if #redis.call('XPENDING', STREAM, other.name, id, id, 1) > 0 then return true end
  end
  return false
end

-- Above the mark, an event's entry and ledger are removed together. Otherwise the event would run again if its
-- entry was delivered again. An entry that was not delivered to this group yet must not be removed, nor one that Redis
-- does not let us acknowledge: pending without a ledger, it would be dead-lettered as deleted before it was read.
local due = intact('ZRANGEBYSCORE', P .. 'finished', '-inf', now - retention, 'LIMIT', A[3], batch) or {}
local ledgers, entries, stay, highest = 0, 0, 0, nil
for _, id in ipairs(due) do
  redis.pcall('ZREM', P .. 'results-from', id)
  local finished = compare_ids(id, low) <= 0
  local free = keep and id_of(id) ~= '0-0' and not needed_elsewhere(id)
  local over = finished or (free and handed and compare_ids(id, handed) <= 0)
  local refused = over and free and type(acknowledge(id)) == 'table'
  if over and (finished or not refused) then
    if free then entries = entries + redis.call('XDEL', STREAM, id) end
    redis.call('DEL', event_key(id))
    redis.call('ZREM', P .. 'finished', id)
    ledgers = ledgers + 1
    if not finished and (not highest or compare_ids(id, highest) > 0) then highest = id end
  else
    stay = stay + 1
  end
end
if highest then
  local expired = intact('GET', P .. 'expired')
  if not expired or compare_ids(highest, expired) > 0 then redis.call('SET', P .. 'expired', highest) end
end

-- Entries without a ledger are trimmed with the head of the stream, a retention time after the mark has passed them
-- and if no group needs them. The entries themselves are not read, since they may be large.
if broken(P .. 'marks', 'hash') then redis.call('DEL', P .. 'marks') end -- then trimming begins anew
local marks = redis.call('HMGET', P .. 'marks', 'aged', 'aging', 'since')
local aged, since = id_of(marks[1]), whole(marks[3])
if not since or now - since >= retention then
  aged = since and id_of(marks[2]) or '0-0'
  redis.call('HSET', P .. 'marks', 'aged', aged, 'aging', low, 'since', now)
end
if keep then
  if compare_ids(aged, keep) < 0 then keep = aged end
  if keep ~= '0-0' then
    -- Up to and with keep. A number too large for Lua to add 1 to is the one that before() makes, or a producer's:
    -- then all below keep goes, as the id itself is nobody's, or goes with the next one.
    local ms, seq = split_id(keep)
    local first_to_stay = #seq > 15 and keep or ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
    entries = entries + redis.call('XTRIM', STREAM, 'MINID', '=', first_to_stay)
  end
end
if entries > 0 then redis.pcall('HINCRBY', P .. 'account', 'own', entries) end
return {'ok', low, #due, stay, ledgers, entries}
