-- The open events of an owner: A = owner. Bounded by A[2].
local found = {}
for _, id in ipairs(intact('SMEMBERS', P .. 'events') or {}) do
  if intact('HGET', event_key(id), 'owner') == A[1] then
    found[#found + 1] = id
    if #found >= tonumber(A[2]) then break end
  end
end
return {'ok', found}
