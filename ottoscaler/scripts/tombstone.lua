-- The task's scale_ups that nobody has read yet shall never run: A = scale_down's id, owner, epoch, task.
if wiped() then return {'wiped'} end
local may = ownership(event_key(A[1]), A[2], A[3])
if may ~= 'ok' then return {may} end
local standing = redis.call('HGET', P .. 'tombstones', A[4])
if not standing or compare_ids(standing, A[1]) < 0 then
  redis.call('HSET', P .. 'tombstones', A[4], A[1])
end
return {'ok'}
