"""The steps between generations, one file per hop; each file offers STEPS, and whatever lies here is found."""
