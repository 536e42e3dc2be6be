-- Whether the repeat `id`, first sent `age` ago, may have been done though nothing shows it.
local is_past = false
if age > 0 then
  if lock.deed == NO_ID then
    is_past = age >= REMEMBERED
  else
    is_past = lock.deed == id or lock.time >= ms - age
  end
end
