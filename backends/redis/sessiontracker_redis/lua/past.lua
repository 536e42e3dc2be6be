-- Whether the repeat `id`, first sent `since` then, may have been done though nothing shows it.
local is_past = false
if since > 0 then
  if lock.deed == NO_ID then
    is_past = ms - since >= REMEMBERED
  else
    is_past = lock.deed == id or lock.time >= since
  end
end
