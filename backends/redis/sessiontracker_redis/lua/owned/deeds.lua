-- The lock that is `stored`, if any, saying what was done last under its key, as no session there
-- does; and until when that is asked about, not before `at`. nil: never again.
local function with_deed(stored, id, time, at)
  local remembered = id ~= NO_ID and time + REMEMBERED or 0
  if not stored then
    at = min(max(at, remembered) + 1000, FOREVER)
    return pack(LOCK, 3, NO_TOKEN, 0, at, NO_ID, id, time, NO_ID, NO_TOKEN, 0, 0), at
  end
  if #stored < LOCK_SIZE or byte(stored) ~= 3 then
    error('BROKEN: ' .. L .. ' holds no lock')
  end
  local _, token, kept, _, _, _, _, ticket, _, till, size = unpack(LOCK, stored)
  if token > LAST_TOKEN or string.find(token, '%D') then
    error('BROKEN: ' .. L .. ' holds a lock without a token')
  end
  kept = max(kept, floor(tonumber(token) / 1000))
  if at == 0 and ticket == NO_ID and ms > kept and ms >= remembered then
    return nil
  end
  at = max(at, remembered, kept, till)
  if #stored > LOCK_SIZE + size then
    at = max(at, (read_queue(stored, LOCK_SIZE + size + 1)))
  end
  at = min(at + 1000, FOREVER)
  return sub(stored, 1, 27) .. pack('>I7', at) .. sub(stored, 35, 42) .. id .. pack('>I6', time)
    .. sub(stored, 57), at
end
