-- Most that read end here: nobody has the lock, and there is a session whose timeout need not
-- begin anew.
local stored, text = call('GET', L), call('GET', A)
if stored and text and #stored == LOCK_SIZE and #text >= SIZE and byte(stored) == 3
  and byte(text) == 1 then
  local slid, idle, _, expires = unpack('>I6I7I7I7', text, 36)
  local _, last, _, lasts, released, deed, time, owner = unpack(LOCK, stored)
  local token = format('%019.0f', now)
  if ms < expires and not due(slid, idle, every) and owner == NO_ID and token > last
    and released ~= ticket then
    local till = ms + length
    lasts = min(max(lasts, till + keep + 1000), FOREVER)
    store(L, pack(LOCK, 3, token, till + keep, lasts, released, deed, time, ticket, token, till,
      #holder) .. holder, lasts)
    return token .. text
  end
end
