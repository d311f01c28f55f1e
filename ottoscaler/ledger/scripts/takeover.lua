-- Take an event from a dead, ended or absent owner, or from a full one that offers it:
-- A = id, owner, old owner, old beat, how ('dead' or 'offer'), hold in ms that counts as progress, time,
-- room ('0': leave what has not begun to replicas that have some), and in ms how long an owner that outlives
-- a try does not die of it.
local id, owner, old, now = A[1], A[2], A[3], now_ms()
local key = event_key(id)
local failure = broken(key, 'hash')
if failure then return failure end
local e = redis.call('HMGET', key, 'state', 'owner', 'strikes', 'progress', 'since', 'begun', 'tried', 'type')
if e[2] == owner then return {'mine', redis.call('HGET', key, 'epoch'), redis.call('HGETALL', key)} end
if e[1] ~= 'open' or e[2] ~= old then return {'moved'} end
if A[5] == 'offer' then
  if (intact('SISMEMBER', P .. 'offers', id) or 0) == 0 then return {'moved'} end
  if old ~= '' and e[6] ~= '0' then return {'moved'} end
  if A[8] == '0' and e[6] == '0' and e[8] == 'scale_up' then return {'full'} end
elseif old ~= '' then
  local consumer, incarnation = split_owner(old)
  local r = intact('HMGET', P .. 'replica:' .. consumer, 'incarnation', 'beat', 'seen', 'before', 'before-seen') or {}
  -- If another incarnation is registered, its registration proved that the old one had ended.
  if r[1] == incarnation and r[2] ~= A[4] then return {'alive'} end
  -- Only an owner that tried to create a Pod of the event and got none can have died of it. An event that waited
  -- for a slot, or ran with the Pods that it had, is no suspect, however often its owners die. It is no suspect
  -- either if its owner still sent heartbeats for seconds while its create hung.
  local seen = r[1] == incarnation and r[3] or r[4] == incarnation and r[5] or '0'
  local outlived = (whole(seen) or 0) - (whole(e[7]) or 0) > tonumber(A[9])
  if e[7] ~= '0' and e[4] == '0' and not outlived and now - (whole(e[5]) or 0) < tonumber(A[6]) then
    redis.call('HINCRBY', key, 'strikes', 1)
    local history = redis.call('HGET', key, 'history') or ''
    redis.call('HSET', key, 'history', history .. A[7] .. ' ' .. consumer .. ' died without progress; ')
  end
end
local epoch = take_ownership(id, key, owner, now)
return {'taken', tostring(epoch), redis.call('HGETALL', key)}
