-- Plan another attempt: A = id, owner, epoch, index, attempt, uid, delay in ms, node to avoid, why.
if wiped() then return {'wiped'} end
local id, owner, epoch, index, attempt, uid = A[1], A[2], A[3], A[4], A[5], A[6]
local key = event_key(id)
local may = ownership(key, owner, epoch)
if may ~= 'ok' then return {may} end
local state = index_state(key, index)
if state and state.kind == 'd' then return {'recorded'} end
if not state or state.kind ~= 's' or state.attempt ~= attempt then
  local nth = tostring(tonumber(attempt) + 1)
  if state and state.kind == 'w' and state.attempt == nth then return {'ok'} end -- a reply that was lost
  return {'stale'}
end
if uid ~= '' and state.rest ~= '' and state.rest ~= uid then return {'stale'} end
local intent = redis.call('HGET', key, 'c:' .. index)
if intent then return {'cancelling', intent} end
if overtime_since(key, index, attempt) then return {'overtime'} end
local due = now_ms() + tonumber(A[7])
redis.call('HSET', key, 'i:' .. index, 'w:' .. (tonumber(attempt) + 1) .. ':' .. due .. ':' .. A[8], 'progress', '1')
-- For the status page. The number is bounded: the oldest stay.
local told = redis.call('HGET', key, 'retries') or ''
if #told < 4000 then
  redis.call('HSET', key, 'retries', told .. now_ms() .. ' ' .. index .. ' ' .. attempt .. ' ' .. A[9] .. '\n')
end
return {'ok'}
