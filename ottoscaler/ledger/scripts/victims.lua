-- What a scale_down has chosen so far, begun workers only: A = its id, owner, epoch.
if wiped() then return {'wiped'} end
local key = event_key(A[1])
local may = ownership(key, A[2], A[3])
if may ~= 'ok' then return {may} end
return {'ok', redis.call('HGETALL', key)}
