-- Plan another attempt: A = id, owner, epoch, index, attempt, uid, delay in ms, node to avoid, why.
local key, refused = own_event()
if refused then return refused end
local index, attempt, uid = A[4], A[5], A[6]
local state = index_state(key, index)
if not state or state.kind ~= 's' or state.attempt ~= attempt then
  local nth = tostring(tonumber(attempt) + 1)
  if state and state.kind == 'w' and state.attempt == nth then return {'ok'} end -- a reply that was lost
  return {'stale'}
end
if uid ~= '' and state.rest ~= '' and state.rest ~= uid then return {'stale'} end
local ends = intended(key, index, attempt)
if ends then return ends end
local due = now_ms() + tonumber(A[7])
redis.call('HSET', key, 'i:' .. index, 'w:' .. (tonumber(attempt) + 1) .. ':' .. due .. ':' .. A[8], 'progress', '1')
-- For the status page. The number is bounded: the oldest stay.
local told = redis.call('HGET', key, 'retries') or ''
if #told < 4000 then
  redis.call('HSET', key, 'retries', told .. now_ms() .. ' ' .. index .. ' ' .. attempt .. ' ' .. A[9] .. '\n')
end
return {'ok'}
