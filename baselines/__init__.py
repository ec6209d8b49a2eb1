"""Reference methods, one file each: the paper's stages used alone, and their bounds."""
