-- A scale_down whose victims' Pods have been asked to go is finished: A = id, owner, epoch.
local failure = check_streams()
if failure then return failure end
if wiped() then return {'wiped'} end
local key = event_key(A[1])
local may = ownership(key, A[2], A[3])
if may ~= 'ok' then return {may} end
local ended = finish_event(A[1], key, now_ms())
return {'ok', ended[1], tostring(ended[2])}
